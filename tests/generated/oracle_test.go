// Package generated holds what is drawn by the hundred, checkpoints, scales, subsets of
// fusions and graphs, to a float64 oracle or to the graph's own meaning.
package generated

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"foundry"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/runtime/cpu"
	"foundry/runtime/eval"
	"foundry/tests/goldens"
	"foundry/tests/oncpu"
	"foundry/tests/oracle"

	"github.com/stretchr/testify/require"

	"foundry/runtime/devicetest"
)

// oracleRef bounds a row's NMSE on ref, whose values are rounded to float32: some
// hundred roundings of 2^-24 in a row, (100 x 2^-24)²/3, and as much again for what
// the layers behind make of them.
const oracleRef = 1e-12

// The oracle itself is held to what transformers computed in float32.
func TestOracleIsTransformers(t *testing.T) {
	for _, name := range goldens.Models[1:] {
		c, err := oracle.Read("../testdata/" + name)
		require.NoError(t, err)
		_, prompts := goldens.Open(t, name)
		for _, g := range prompts {
			want := c.Logits(g.IDs(t, "input_ids"))
			have := g.Floats(t, "logits")
			nmse, row := oracle.Worst(have, want[len(want)-len(have)/c.Vocab:])
			t.Logf("%s %s: NMSE %.3g at row %d", name, g.Name, nmse, row)
			require.LessOrEqual(t, nmse, interp.ModelF32)
		}
	}
}

// rescaled moves 2^k across a branch, or as much of it as the formats hold, the other
// way where they hold none; and gives the logits that must come out: those of before
// but for the gate. The branch must account for a tenth of their energy.
func rescaled(t *testing.T, c *oracle.Checkpoint, b oracle.Branch, k int, ids []int32, logits [][]float64) (*oracle.Checkpoint, int, [][]float64) {
	t.Helper()
	var out *oracle.Checkpoint
	var err error
	for _, toward := range []int{k, -k} {
		for k = toward; k != 0; k -= toward / max(toward, -toward) {
			if out, err = c.Rescale(b, k); err == nil {
				break
			}
		}
		if k != 0 {
			break
		}
	}
	require.NoError(t, err, c)
	switch {
	case b == oracle.QueryKey && c.HeadNorms: // of k below its norm's eps little is left
		require.GreaterOrEqual(t, c.Share(b, ids, logits), 0.1, "%s, %d ids: the part of %s in the logits", c, len(ids), b)
		return out, k, out.Logits(ids)
	case b == oracle.GateDown:
		logits = out.Logits(ids)
	}
	require.GreaterOrEqual(t, out.Share(b, ids, logits), 0.1, "%s, %d ids: the part of %s in the logits", c, len(ids), b)
	return out, k, logits
}

// evaluateAll returns the logits of all rows of a checkpoint on a device.
func evaluateAll(t *testing.T, c *oracle.Checkpoint, device string, o foundry.CompileOptions, ids []int32) []float32 {
	t.Helper()
	name, err := c.Write(t.TempDir())
	require.NoError(t, err)
	m, err := foundry.Open(name, foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	o.AllLogits = true
	e, err := foundry.Start(context.Background(), m, foundry.StartOptions{Device: device, Compile: o, CPU: cpu.Options{FewRuns: true}})
	devicetest.Need(t, err)
	defer e.Close()
	out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: ids, Top: 1})
	require.NoError(t, err)
	return out.Logits
}

// trial is a generated checkpoint and a prompt, as drawn and rescaled.
type trial struct {
	seed   uint64
	ids    []int32
	branch oracle.Branch
	k      int
	forms  [2]struct {
		c    *oracle.Checkpoint
		want [][]float64
	}
}

// newTrial draws weights for a Config and 8 to most ids.
func newTrial(t *testing.T, c oracle.Config, seed uint64, most int) *trial {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 9))
	x := &trial{seed: seed, branch: oracle.Branches[seed%4], k: []int{13, 15, 17, 20}[r.IntN(4)] * (1 - 2*r.IntN(2))}
	drawn := oracle.Generate(c, seed)
	x.ids = c.IDs(8+r.IntN(most-8), seed)
	x.forms[0].c, x.forms[0].want = drawn, drawn.Logits(x.ids)
	x.forms[1].c, x.k, x.forms[1].want = rescaled(t, drawn, x.branch, x.k, x.ids, x.forms[0].want)
	return x
}

// halves are the tolerances of both forms on a device that multiplies halves. A power of
// two moves no rounding, so they are the same where the logits are.
func (x *trial) halves() (out [2]oracle.Tolerance) {
	drawn, rescaled := x.forms[0], x.forms[1]
	out[0] = drawn.c.Halves(x.ids, drawn.want)
	out[1] = out[0]
	if &rescaled.want[0] != &drawn.want[0] {
		out[1] = rescaled.c.Halves(x.ids, rescaled.want)
	}
	return out
}

// onRef are those on ref.
func (x *trial) onRef() [2]oracle.Tolerance {
	return [2]oracle.Tolerance{oracle.Flat(oracleRef, len(x.ids)), oracle.Flat(oracleRef, len(x.ids))}
}

// require holds a device's rows to the tolerance of each form, and returns the NMSE of the
// worst and the largest part of a tolerance that is taken.
func (x *trial) require(t *testing.T, device string, o foundry.CompileOptions, tolerances [2]oracle.Tolerance) (worst, most float64) {
	t.Helper()
	for i, form := range x.forms {
		how := []string{"as drawn", fmt.Sprintf("%s by 2^%d", x.branch, x.k)}[i]
		have := evaluateAll(t, form.c, device, o, x.ids)
		nmse, row := oracle.Worst(have, form.want)
		part, at := tolerances[i].Of(have, form.want)
		if part > 1 {
			t.Errorf("seed %d: %s: %s: %.2f of the tolerance at row %d of %d; %+v", x.seed, form.c, how, part, at, len(x.ids), o)
		}
		t.Logf("seed %d: %s: %d ids %s: NMSE %.2g at row %d; %.2f of the tolerance", x.seed, form.c, len(x.ids), how, nmse, row, part)
		worst, most = max(worst, nmse), max(most, part)
	}
	return worst, most
}

// Generated checkpoints of all forms on ref, as drawn and rescaled: 20, with
// FOUNDRY_COMPLETE 500.
func TestGeneratedOnRef(t *testing.T) {
	t.Parallel()
	count := uint64(20)
	if isComplete() {
		count = 500
	} else {
		t.Logf("%d checkpoints; %s=1 takes 500", count, complete)
	}
	for seed := range count {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 10))
			o := foundry.CompileOptions{Context: 64, Chunk: 1 + r.IntN(64), Variant: []string{"unfused", "default"}[r.IntN(2)]}
			x := newTrial(t, oracle.Random(seed), seed, 64)
			x.require(t, foundry.Ref, o, x.onRef())
		})
	}
}

// Generated checkpoints on cpu. Kernels take long to compile, so few Configs have many
// weights each: 2 of 3, with FOUNDRY_COMPLETE 25 of 20.
func TestGeneratedOnCPU(t *testing.T) {
	t.Parallel()
	oncpu.Need(t)
	configs, each := uint64(2), uint64(3)
	if isComplete() {
		configs, each = 25, 20
	} else {
		t.Logf("%d checkpoints; %s=1 takes 500", configs*each, complete)
	}
	for shape := range configs {
		t.Run(fmt.Sprintf("config %d", shape), func(t *testing.T) {
			c := oracle.Random(shape)
			r := rand.New(rand.NewPCG(shape, 11))
			o := foundry.CompileOptions{
				Target: []string{"apple-m3-pro", "apple-m4-max", "h100"}[r.IntN(3)], Variant: []string{"default", "fewest"}[r.IntN(2)],
				Context: 160, Chunk: []int{33, 128, 160}[r.IntN(3)], Floats: exactFloats(c),
			}
			worst, most := 0.0, 0.0
			for i := range each {
				x := newTrial(t, c, shape+i*1000, 160)
				nmse, part := x.require(t, foundry.CPU, o, x.halves())
				worst, most = max(worst, nmse), max(most, part)
			}
			t.Logf("the worst row of all has NMSE %.2g; %.2f of a tolerance is the most", worst, most)
		})
	}
}

// exactFloats is the type that holds all of a Config's plain weights as they are.
func exactFloats(c oracle.Config) dtype.Type {
	out := dtype.Invalid
	for _, f := range c.Formats {
		switch t, err := dtype.Parse(string(f)); {
		case err != nil || !t.Float() || t == out:
		case out == dtype.Invalid:
			out = t
		default:
			out = dtype.F32
		}
	}
	return out
}
