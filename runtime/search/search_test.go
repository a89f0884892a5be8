package search

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir"
	"foundry/lower/compile"
	"foundry/passes"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/engine"
	"foundry/shaders"
)

// A search ranks, measures where there is a device, keeps what it found, reads it
// again, and makes anew what does not hold a result.
func TestSearch(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	dir := t.TempDir()
	var said []string
	o := Options{
		Device: engine.CPU, CPU: cpu.Options{OneRun: true}, Compile: compile.Options{Context: 64}, Measure: 1, CacheDir: dir,
		Say: func(line string) { said = append(said, line) },
	}
	dev, err := engine.OpenDevice(t.Context(), engine.CPU, cpu.Options{FewRuns: true})
	measured := err == nil
	if measured {
		require.NoError(t, dev.Close())
	} else {
		require.True(t, errors.Is(err, cpu.ErrNoCompiler), err)
	}
	found, err := Run(context.Background(), m, o)
	require.NoError(t, err)
	require.GreaterOrEqual(t, found.Subsets, found.Graphs)
	require.Greater(t, found.Graphs, 5000)
	require.Empty(t, found.FromCache)
	names := map[string]bool{}
	for i, c := range found.Candidates {
		names[c.Name] = true
		if i > 0 {
			require.GreaterOrEqual(t, c.PredictedUs, found.Candidates[i-1].PredictedUs)
		}
		if measured && (i == 0 || c.Name == "default" || c.Name == "fewest") {
			require.NotNil(t, c.Measured, c.Name)
			require.LessOrEqual(t, found.Winner.Measured.Median, c.Measured.Median)
		}
	}
	require.True(t, names["default"])
	require.Equal(t, measured, found.Device == engine.CPU)
	if measured {
		require.Equal(t, "cpu", found.Costs)
		require.Empty(t, found.Unmeasured)
	}
	require.Equal(t, "prefill", found.OtherPhase)
	for _, c := range found.Candidates {
		require.LessOrEqual(t, found.Other.OtherUs, c.OtherUs, c.Name)
	}
	options := compile.Options{Context: 64}
	found.Apply(&options)
	c, err := compile.Model(m, options)
	require.NoError(t, err)
	require.Equal(t, found.Winner.Passes, c.Plan.Options.PassesOf("decode"))
	require.Equal(t, found.Other.Passes, c.Plan.Options.PassesOf("prefill"))

	// The second search is the file.
	again, err := Run(context.Background(), m, o)
	require.NoError(t, err)
	require.NotEmpty(t, again.FromCache)
	again.FromCache = ""
	require.Equal(t, found, again)
	require.Contains(t, said[len(said)-1], "from "+dir)

	// What a search depends on has a name of its own.
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	s := search{Options: o, m: m}
	s.Phase, s.Compile.Context = "decode", 65
	require.NoError(t, s.prepare(t.Context()))
	defer s.closeDevice()
	require.NotEqual(t, files[0], s.file().path)
}

// What is best for one token need not be for many: on an H100 attention in parts wins in
// decode of 7b and would make prefill a third longer. Each phase has its own pipeline,
// whichever of them is asked for, unless both are one graph.
func TestSearchServesBothPhases(t *testing.T) {
	m, err := model.Open("synth:qwen2.5-7b", checkpoint.Hub{})
	require.NoError(t, err)
	parts := "canonicalize,cse,dce,drop-repeat-kv,split-norm,fuse-attention{kernel=attention-parts},fuse-rmsnorm-qkv,fuse-rope-kv,fuse-gate-up-swiglu,fuse-residual,fuse-head,fuse-embedding-norm,legalize"
	whole := strings.Replace(parts, "attention-parts", "one-pass", 1)
	look := func(phase string, winner, chunk int) *Found {
		s := search{Options: Options{Phase: phase, Compile: compile.Options{Target: "h100", Chunk: chunk}}, m: m}
		require.NoError(t, s.prepare(t.Context()))
		defer s.closeDevice()
		s.found.Candidates = []Candidate{{Name: "parts", Passes: parts}, {Name: "whole", Passes: whole}}
		s.found.Winner = s.found.Candidates[winner]
		require.NoError(t, s.rankOther())
		return &s.found
	}

	found := look("decode", 0, 0)
	require.Equal(t, "prefill", found.OtherPhase)
	require.Equal(t, "whole", found.Other.Name)
	require.Greater(t, found.Candidates[0].OtherUs, 1.25*found.Candidates[1].OtherUs)
	var o compile.Options
	found.Apply(&o)
	require.Equal(t, compile.Options{Passes: parts, PrefillPasses: whole}, o)
	o = compile.Options{Variant: "per-layer-6", PrefillPasses: "cse"}
	found.Apply(&o)
	require.Equal(t, compile.Options{Passes: parts, PrefillPasses: "cse"}, o, "what is asked for stays")

	found = look("prefill", 1, 0)
	require.Equal(t, "decode", found.OtherPhase)
	require.Equal(t, "parts", found.Other.Name)
	o = compile.Options{}
	found.Apply(&o)
	require.Equal(t, compile.Options{Passes: parts, PrefillPasses: whole}, o)

	found = look("decode", 0, 1)
	require.Nil(t, found.Other, "token by token prefill is decode")
	o = compile.Options{}
	found.Apply(&o)
	require.Equal(t, compile.Options{Passes: parts}, o)
}

func TestSearchFile(t *testing.T) {
	f := searchFile{filepath.Join(t.TempDir(), "deep", "x.json"), passes.BuiltIn()}
	var said []string
	say := func(line string) { said = append(said, line) }
	require.Nil(t, f.read(say))
	require.Empty(t, said)
	for _, broken := range []string{"", "{", `{"winner":{"passes":"no-such-pass"}}`, `{}`, `{"device":"cpu","winner":{"passes":"cse"}}`,
		`{"winner":{"passes":"cse"},"other":{"passes":"no-such-pass"}}`} {
		require.NoError(t, os.MkdirAll(filepath.Dir(f.path), 0o755))
		require.NoError(t, os.WriteFile(f.path, []byte(broken), 0o644))
		said = nil
		require.Nil(t, f.read(say), broken)
		require.Len(t, said, 1)
		require.True(t, strings.HasPrefix(said[0], "search: "+f.path+" is ignored and made anew: "), said[0])
	}
	require.NoError(t, os.WriteFile(f.path, []byte(`{"winner":{"name":"floor","passes":"cse"},"other":{"name":"none","passes":"dce"},"candidates":[{"name":"six"},{"name":"attention"}]}`), 0o644))
	said = nil
	aliased := f.read(say)
	require.Empty(t, said)
	require.Equal(t, []string{"fewest", "unfused", "per-layer-6", "attention"},
		[]string{aliased.Winner.Name, aliased.Other.Name, aliased.Candidates[0].Name, aliased.Candidates[1].Name}, "aliases are read")

	want := &Found{Model: "m", Winner: Candidate{Passes: "cse"}}
	said = nil
	f.write(want, say)
	have := f.read(say)
	have.FromCache = ""
	require.Equal(t, want, have)
	entries, err := os.ReadDir(filepath.Dir(f.path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left beside it")

	searchFile{filepath.Join(f.path, "x.json"), passes.BuiltIn()}.write(want, say) // below a file
	require.Len(t, said, 1)
	searchFile{}.write(want, say)
	require.Nil(t, searchFile{}.read(say))
	require.Len(t, said, 1)
}

// named is a device that has a name.
type named struct {
	runtime.Device
	name string
}

func (d named) Info() runtime.Info { return runtime.Info{Kind: "cuda", Name: d.name} }

// A result is found again only while the compiler would make the same of a layer: other
// kernels, or another prediction of what they take, have another name.
func TestSearchFileIsOfThisCompiler(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	look := func(o compile.Options) *search {
		s := &search{Options: Options{Phase: "decode", CacheDir: "x", Compile: o}, m: m}
		s.Compile.Target = "apple-m3-pro"
		require.NoError(t, s.prepare(t.Context()))
		t.Cleanup(s.closeDevice)
		return s
	}
	s := look(compile.Options{})
	require.Equal(t, s.file(), look(compile.Options{}).file())
	require.Equal(t, "x", filepath.Dir(s.file().path), "where it was asked for")
	caches, err := os.UserCacheDir()
	require.NoError(t, err)
	users := *s
	users.CacheDir = ""
	require.Equal(t, filepath.Join(caches, "foundry", "search", filepath.Base(s.file().path)), users.file().path, "else where the user's caches are")
	require.Len(t, strings.Split(strings.TrimSpace(s.compilerToday()), "\n"), 8, "four variants of both phases")

	whole, err := passes.Parse("fuse-attention,legalize,choose-kernels")
	require.NoError(t, err)
	subsets := []passes.Subset{{Pipeline: whole}, {Pipeline: whole}}
	flash := look(compile.Options{Attention: "flash"})
	require.NoError(t, flash.pipelines(subsets))
	for _, one := range subsets {
		require.Equal(t, "fuse-attention{kernel=one-pass},legalize,choose-kernels", one.Pipeline.String(), "with the attention that was asked for")
	}

	gemv, err := fs.ReadFile(shaders.FS, "main/gemv.metal")
	require.NoError(t, err)
	lowered := look(compile.Options{Shaders: fstest.MapFS{"main/gemv.metal": {Data: append(gemv, '\n')}}})
	require.NotEqual(t, s.file(), lowered.file(), "kernels are written in another way")

	longer, asked := *s, *s.graphs
	asked.Options.Context++
	longer.graphs = &asked
	require.NotEqual(t, s.file(), longer.file(), "another context is asked for")
	one, two := *s, *s
	one.dev, two.dev = named{name: "a"}, named{name: "b"}
	require.Len(t, map[searchFile]bool{s.file(): true, one.file(): true, two.file(): true}, 3, "each device's own")

	before := s.compilerToday()
	costs := *s.costs
	costs.WaveUs++
	s.costs = &costs
	require.NotEqual(t, before, s.compilerToday(), "what they take is predicted in another way")
}

// What takes a pipeline says that it does not search.
func TestSearchIsNoPipeline(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	_, err = compile.Model(m, compile.Options{Passes: compile.SearchPasses})
	require.ErrorContains(t, err, "no pipeline yet")
	// A pipeline for prefill that is none is said before anything is looked for.
	_, err = Run(context.Background(), m, Options{
		Compile: compile.Options{Passes: compile.SearchPasses, PrefillPasses: "fuse-atention"}, Say: func(line string) { t.Error(line) },
	})
	require.ErrorContains(t, err, `prefill pipeline: unknown pass "fuse-atention"; did you mean "fuse-attention"?`)
}

// Passes of one's own are searched with the built-in ones. What was found is kept where
// the table is known by its text; an edit is code.
func TestSearchTakesOwnPasses(t *testing.T) {
	g, err := ir.Parse("gate.fir", `graph @gate (T=1..1, P=0..0, S<=1) {
  %x = input "x" : f32[1, 64]
  %w = weight "w" : f16[64, 64]
  %g = matmul_nt %x, %w : f32[1, 64]
  %s = silu %g : f32[1, 64]
  return s=%s
}
`)
	require.NoError(t, err)
	m := &model.Model{Name: "gate.fir", Graph: g}
	pattern := passes.Pattern{Name: "gate-silu", Text: "@g = matmul_nt h w\n@s = silu g"}
	idle := passes.Edit{Name: "idle", Consider: func(passes.Candidate) *passes.Rewrite { return nil }}
	table, err := passes.BuiltIn().With([]passes.Pattern{pattern}, nil)
	require.NoError(t, err)
	o := Options{Phase: g.Name, Compile: compile.Options{Table: table}, CacheDir: t.TempDir()}
	found, err := Run(t.Context(), m, o)
	require.NoError(t, err)
	require.Equal(t, 2, found.Subsets, "nothing else finds anything in it")
	require.Contains(t, found.Winner.Passes, "fuse-gate-silu")
	again, err := Run(t.Context(), m, o)
	require.NoError(t, err)
	require.NotEmpty(t, again.FromCache)

	o.Compile.Table, err = table.With(nil, []passes.Edit{idle})
	require.NoError(t, err)
	s := search{Options: o, m: m}
	require.NoError(t, s.prepare(t.Context()))
	require.Empty(t, s.file().path)
}
