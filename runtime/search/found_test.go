package search

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/target"
	"foundry/lower/compile"
	"foundry/passes"
	"foundry/runtime/bench"
	"foundry/runtime/cpu"
	"foundry/runtime/engine"
)

// The fastest is the one that was measured to be, of those that were; what nobody measured
// counts where nobody measured anything.
func TestChooseOfCandidates(t *testing.T) {
	at := func(name string, predicted, measured float64) Candidate {
		c := Candidate{Name: name, PredictedUs: predicted}
		if measured > 0 {
			c.Measured = &bench.Spread{Median: measured}
		}
		return c
	}
	for want, all := range map[string][]Candidate{
		"a": {at("a", 5, 0), at("b", 6, 0), at("c", 5, 0)}, "b": {at("a", 5, 0), at("b", 4, 0)},
		"c": {at("a", 1, 0), at("b", 5, 30), at("c", 9, 20), at("d", 1, 0)}, "d": {at("a", 1, 40), at("b", 5, 30), at("d", 9, 20), at("e", 1, 25)},
	} {
		s := search{found: Found{Candidates: all}}
		s.choose()
		require.Equal(t, want, s.found.Winner.Name)
	}
}

// A search is one line: of what, what won and by what, what the other phase gets, and from
// how much, or where it was kept.
func TestFoundSays(t *testing.T) {
	f := Found{Model: "m", Phase: "decode", Costs: "h100", Unmeasured: "why", Subsets: 12, Graphs: 7, Seconds: 1.5, Winner: Candidate{Name: "w", PredictedUs: 1234, OtherUs: 9e5}}
	require.Equal(t, "search: decode of m: w, predicted 1.23 ms, the cost model of h100 alone decided (why); 12 legal sets of fusions, 7 graphs, 1.5 s", f.String())
	f.Device, f.Winner.Measured = "cuda", &bench.Spread{Median: 2000}
	f.OtherPhase, f.Other = "prefill", &Candidate{Name: "w", OtherUs: 9e5}
	require.Equal(t, "search: decode of m: w, predicted 1.23 ms, 2 ms measured on cuda; prefill: the same, predicted 900 ms; 12 legal sets of fusions, 7 graphs, 1.5 s", f.String())
	f.Layers, f.Other, f.FromCache = 3, &Candidate{Name: "o", OtherUs: 8e5}, "a file"
	require.Equal(t, "search: decode of m: w, predicted 1.23 ms, 2 ms measured on cuda (3 layers); prefill: o, predicted 800 ms, behind the pipeline for decode 900 ms; from a file", f.String())
}

// What is not at hand is not measured, and the reason is told: the target's device, another
// machine, the interpreter, a graph.
func TestWhyNothingIsMeasured(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	absent := cpu.Options{CXX: t.TempDir() + "/no-compiler"}
	look := func(device, asked string) (string, *search) {
		s := &search{Options: Options{Device: device, Phase: "decode", CPU: absent, Compile: compile.Options{Target: asked, Context: 64}}, m: m}
		require.NoError(t, s.prepare(t.Context()))
		t.Cleanup(s.closeDevice)
		return s.found.Unmeasured, s
	}
	why, s := look(engine.Ref, "")
	require.Equal(t, "ref interprets graphs and dispatches nothing", why)
	require.Equal(t, []string{target.Default, target.Default, "kjv-2m", "decode"}, []string{s.found.Target, s.found.Costs, s.found.Model, s.found.Phase})
	why, _ = look(engine.CPU, "")
	require.Contains(t, why, "the device is not at hand: ")
	require.Contains(t, why, "no-compiler")
	why, _ = look("", "cpu")
	require.Contains(t, why, "no-compiler", "the target's own device")
	if dev, err := engine.OpenDevice(t.Context(), engine.CPU, cpu.Options{FewRuns: true}); err == nil {
		require.NoError(t, dev.Close())
		absent = cpu.Options{FewRuns: true}
		why, s = look(engine.CPU, "h100")
		require.Equal(t, "the device at hand is cpu, not h100", why)
		require.Nil(t, s.dev)
		why, s = look(engine.CPU, "cpu")
		require.Empty(t, why)
		require.Equal(t, []string{"cpu", "cpu"}, []string{s.found.Device, s.costs.Name})
	}
	graph, err := compile.Build(m, compile.Options{Context: 64})
	require.NoError(t, err)
	s = &search{m: &model.Model{Name: "g.fir", Graph: graph.Entries[1]}, graphs: graph}
	require.Equal(t, "a graph of a file is ranked by the model", s.findDevice(t.Context(), ""))
}

// Results are of stages: what replaces one has another name, what is no stage has not.
func TestStagesHash(t *testing.T) {
	base := stagesHash(nil)
	seen := map[string]bool{base: true}
	for _, outside := range []fstest.MapFS{
		{"a.metal": {Data: []byte("x")}}, {"a.metal": {Data: []byte("y")}}, {"b.metal": {Data: []byte("x")}}, {"d/a.metal": {Data: []byte("x")}},
		{"a.metal": {Data: []byte("x")}, "b.metal": {Data: []byte("y")}}, {"a.metal": {Data: []byte("y")}, "b.metal": {Data: []byte("x")}},
	} {
		h := stagesHash(outside)
		require.False(t, seen[h], "%v", outside)
		require.Equal(t, h, stagesHash(outside))
		seen[h] = true
	}
	require.Equal(t, base, stagesHash(fstest.MapFS{"a.txt": {Data: []byte("x")}, "metal": {}}))
}

// Variants that ask for a search and a prefill pipeline that is none are refused before
// anything is compiled; what is found takes the place of the word.
func TestBenchOfASearchRefuses(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	p, err := passes.Variant("fewest")
	require.NoError(t, err)
	rows, err := Bench(t.Context(), m, bench.Options{Device: engine.CPU, Phase: "decode", Variants: []bench.Variant{{Name: "own", Passes: p.String()}}})
	require.NoError(t, err)
	require.Equal(t, []string{"own", p.String()}, []string{rows[0].Variant, rows[0].Passes})
	_, err = Bench(t.Context(), m, bench.Options{Device: engine.CPU, Phase: "sing"})
	require.ErrorContains(t, err, `there is no phase "sing"`)
	_, err = Start(t.Context(), m, engine.Options{Device: "gpu"})
	require.ErrorContains(t, err, `no device "gpu"`)
	e, err := Start(t.Context(), m, engine.Options{Device: engine.Ref, Compile: compile.Options{Context: 64, Passes: p.String()}})
	require.NoError(t, err)
	require.Equal(t, p.String(), e.Graphs.Options.Passes)
	require.NoError(t, e.Close())
}
