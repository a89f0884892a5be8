package bench

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir"
	"foundry/lower/compile"
	"foundry/runtime/engine"
)

// What cannot be measured is refused in words that say what can, before any device is opened.
func TestRefusals(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	graph := &model.Model{Name: "g.fir", Graph: &ir.Graph{Name: "g"}}
	contexts := func(m *model.Model, device string, backends ...string) error {
		_, err := Contexts(t.Context(), m, ContextOptions{Bench: Options{Device: device}, Contexts: []int{8}, Rows: []int{1}, Backends: backends})
		return err
	}
	kernels := func(m *model.Model, device string) error {
		_, err := Kernels(t.Context(), m, KernelsOptions{Bench: Options{Device: device}, Rows: []int{1}})
		return err
	}
	run := func(m *model.Model, o Options) error {
		_, err := Run(t.Context(), m, o)
		return err
	}
	fusions := func(o Options) error {
		_, err := OfFusions(t.Context(), m, o)
		return err
	}
	many, split := make([]Variant, 33), make([]Variant, 33)
	split[7].CommandBuffers = 2
	for _, c := range []struct {
		err  error
		want string
	}{
		{contexts(graph, engine.CPU, "auto"), "g.fir is a graph: contexts are a language model's"},
		{contexts(m, engine.Ref, "auto"), "ref runs no kernels: take --device cpu or a GPU"},
		{contexts(m, engine.CPU, "auto", "flas"), `attention backend "flas" does not exist, want one of auto, chained, flash, split; did you mean "flash"?`},
		{kernels(graph, engine.CPU), "g.fir is a graph: kernels are measured at a language model's shapes"},
		{kernels(m, engine.Ref), "ref runs no kernels: take --device cpu or a GPU"},
		{run(m, Options{Device: engine.CPU, Phase: "sing"}), `there is no phase "sing", want decode or prefill`},
		{run(graph, Options{Device: engine.CPU, PlanDir: "plan"}), "g.fir is a graph: it is measured whole and without a plan from disk"},
		{run(graph, Options{Device: engine.CPU, PerKernel: true}), "g.fir is a graph: it is measured whole and without a plan from disk"},
		{run(graph, Options{Device: engine.CPU, Variants: many}), "g.fir is a graph: it is measured in at most 32 variants, not 33"},
		{run(m, Options{Device: engine.Ref, Phase: "decode", Reps: 1, Variants: many}), "33 variants are too many for ref, which interprets each from the start; take --device cpu, or --reps 0 for their numbers"},
		{run(m, Options{Device: engine.CPU, Phase: "decode", Tokens: 2, Variants: many}), "33 variants are timed by whole steps; kernels alone, and several tokens in one run, are for lists of at most 32"},
		{run(m, Options{Device: engine.CPU, Phase: "decode", PerKernel: true, Variants: many}), "33 variants are timed by whole steps; kernels alone, and several tokens in one run, are for lists of at most 32"},
		{run(m, Options{Device: engine.CPU, Phase: "decode", Variants: split}), "numbers of command buffers are compared in a list of at most 32 variants"},
		{run(m, Options{Device: engine.CPU, Phase: "decode", Variants: many, Compile: compile.Options{Fuel: new(int)}}), "--fuel is for a list of at most 32 variants"},
		{fusions(Options{Device: engine.CPU, Phase: "sing"}), `there is no phase "sing", want decode or prefill`},
		{fusions(Options{Device: engine.CPU, Phase: "decode", PlanDir: "plan"}), "what a fusion saves is found by compiling without it: a plan from disk has one pipeline"},
	} {
		require.EqualError(t, c.err, c.want)
	}
	require.False(t, (&Options{Variants: many[:32]}).many())
	require.False(t, (&Options{Variants: many, PlanDir: "plan"}).many())
	indirect := Options{Indirect: true, Reps: 1, Device: engine.Metal, Phase: "decode"}
	require.NoError(t, indirect.checkMetal())
	for _, c := range []struct {
		change func(o *Options)
		want   string
	}{
		{func(o *Options) { o.Phase = "prefill" }, "replay from indirect command buffers is of decode: take --phase decode"},
		{func(o *Options) { o.Reps = 0 }, "replay from indirect command buffers needs runs: take --reps 1 or more"},
		{func(o *Options) { o.Variants = many }, "replay from indirect command buffers is of variants by name, not of a whole set"},
		{func(o *Options) { o.Capture = "x" }, "a capture is of one variant: name it with --variants"},
		{func(o *Options) { o.Device, o.Reps = engine.CPU, 0 }, "replay from indirect command buffers needs an Apple GPU: take --device metal, not cpu"},
		{func(o *Options) { o.Device, o.Capture, o.Indirect = engine.Ref, "x", false }, "a capture needs an Apple GPU: take --device metal, not ref"},
		{func(o *Options) { o.Capture, o.Indirect, o.Variants = "x", false, many[:2] }, "a capture is of one variant: name it with --variants"},
	} {
		o := indirect
		c.change(&o)
		require.EqualError(t, o.checkMetal(), "bench: "+c.want)
	}
	one := Options{Capture: "x", Reps: 1, Device: engine.Metal, Phase: "prefill", Variants: many[:1]}
	require.NoError(t, one.checkMetal())
}
