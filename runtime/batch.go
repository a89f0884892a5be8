package runtime

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"foundry/ir/sym"
	"foundry/lower/plan"
)

// DecodeN implements Batcher. Where the program records, the host waits once.
func (in *Instance) DecodeN(ctx context.Context, p int, id int32, n int, more bool) ([]int32, error) {
	return in.several(ctx, p, id, n, more, false)
}

// DrawN implements Drawer: the entry sample runs behind each run of decode.
func (in *Instance) DrawN(ctx context.Context, p int, id int32, n int, more bool, how Sampling) ([]int32, error) {
	if err := in.setSampling(how); err != nil {
		return nil, err
	}
	return in.several(ctx, p, id, n, more, true)
}

// several runs n decode steps and reads what they chose from the history. A whole chain of
// them is one command buffer, with another in flight behind it where more says so. Where a
// kernel refuses something with more in flight, the steps run again by themselves: it may
// have been one that nobody asked for.
func (in *Instance) several(ctx context.Context, p int, id int32, n int, more, draw bool) ([]int32, error) {
	if most := in.Limits().Batch; n < 1 || n > most {
		return nil, fmt.Errorf("a batch of %d tokens, want 1 to %d", n, most)
	}
	if n == in.chainSteps() && !in.closed {
		if ids, err := in.chained(ctx, p, id, more, draw); err != errBehind {
			return ids, err
		}
	}
	token, err := in.runSteps(ctx, in.decodeUpTo(p+n-1), p, []int32{id}, n, draw)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 4*n)
	if err := in.readAt(in.model.history, int64(4*(p+1)), b); err != nil {
		return nil, err
	}
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	if ids[n-1] != token {
		return nil, fmt.Errorf("the history says token %d at position %d, the step says %d", ids[n-1], p+n, token)
	}
	return ids, nil
}

// Choose implements Drawer.
func (in *Instance) Choose(ctx context.Context, how Sampling) (int32, error) {
	if err := in.setSampling(how); err != nil {
		return 0, err
	}
	if err := in.land(); err != nil {
		return 0, err
	}
	before := in.content
	if !before.valid {
		return 0, errors.New("no token to choose: nothing has run")
	}
	in.content = content{}
	if err := runRepeatedly(ctx, in.walks[in.model.sample:][:1], sym.Env{T: 1, P: int64(before.p)}, 1); err != nil {
		return 0, err
	}
	token, err := in.readStep(before.p)
	if err != nil {
		return 0, fmt.Errorf("sample: %w", err)
	}
	before.token = token
	in.content = before
	return token, nil
}

// setSampling writes the settings to the step, where they differ from those there.
func (in *Instance) setSampling(how Sampling) error {
	switch {
	case in.closed:
		return errClosed
	case !in.Limits().Draws:
		return errors.New("the plan draws no tokens: it was compiled without the entry sample")
	case in.sampling != nil && *in.sampling == how:
		return nil
	}
	if err := how.Validate(); err != nil {
		return err
	}
	if err := in.land(); err != nil {
		return err
	}
	const first, end = plan.StepTemperature, plan.StepCounter // StepCounter is the kernels' to write
	f := func(x float64) uint32 { return math.Float32bits(float32(x)) }
	var step [end]uint32
	step[plan.StepTemperature], step[plan.StepTopK], step[plan.StepTopP] = f(how.Temperature), f(float64(how.TopK)), f(how.TopP)
	step[plan.StepMinP], step[plan.StepRepetition] = f(how.MinP), f(how.Repetition)
	step[plan.StepSeedLo], step[plan.StepSeedHi] = uint32(how.Seed), uint32(how.Seed>>32)
	in.sampling = nil // until it is written
	if err := in.writeAt(in.model.step, 4*first, words(step[first:]...)); err != nil {
		return err
	}
	in.sampling = &how
	return nil
}
