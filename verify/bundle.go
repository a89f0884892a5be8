package verify

import (
	"context"
	"errors"
	"fmt"

	"foundry/ir/sym"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"
)

// BundleRun is one run of an entry of a plan.
type BundleRun struct {
	Entry      string `json:"entry"`
	T          int64  `json:"t"`
	P          int64  `json:"p"`
	Dispatches int    `json:"dispatches"`
}

// smallT is the most tokens of a run that looks at every access: more than one, and
// no multiple of what kernels take together.
const smallT = 5

// Bundle runs every entry of a plan on cpu with every memory access looked at, over few
// tokens, at the beginning of the sequence and behind that: what kernels touch must
// be what the plan says, which no check of the plan alone can know. Weights and
// inputs are zeros, so nothing is said of results. The error names the kernel.
func Bundle(ctx context.Context, p *plan.Plan, o cpu.Options, progress runtime.Progress) (_ []BundleRun, err error) {
	o.Checked = true
	dev, err := cpu.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()
	exec, err := runtime.New(ctx, dev, p, zeros{}, progress)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, exec.Close()) }()
	var out []BundleRun
	for i := range p.Entries {
		runs, err := runSmall(ctx, exec, &p.Entries[i])
		if err != nil {
			return nil, err
		}
		out = append(out, runs...)
	}
	return out, nil
}

// runSmall runs an entry, each time from fresh memory: at its fewest tokens and at
// few, and behind those.
func runSmall(ctx context.Context, exec *runtime.Executable, e *plan.Entry) (out []BundleRun, err error) {
	in, err := exec.NewInstance()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	few := max(e.TMin, min(e.TMax, smallT))
	runs := []sym.Env{{T: e.TMin}, {T: few}, {T: e.TMin, P: few}}
	for i, env := range runs {
		if i > 0 && env == runs[i-1] || env.P > exec.Plan.MaxP(e, env.T) {
			continue
		}
		if err := in.Run(ctx, e.Name, env); err != nil {
			return nil, fmt.Errorf("entry %s at T=%d P=%d: %w", e.Name, env.T, env.P, err)
		}
		ran := BundleRun{Entry: e.Name, T: env.T, P: env.P}
		for _, s := range e.Steps {
			if s.Dispatch != nil {
				ran.Dispatches++
			}
		}
		out = append(out, ran)
	}
	return out, nil
}

// zeros is a checkpoint of nothing else.
type zeros struct{}

func (zeros) Weight(b *plan.Buffer) ([]byte, error) { return make([]byte, b.Bytes), nil }
