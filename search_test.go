package foundry

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/runtime/cpu"
)

// A search ranks, measures where there is a device, keeps what it found, reads it
// again, and makes anew what does not hold a result.
func TestSearch(t *testing.T) {
	m, err := Open("", Hub{})
	require.NoError(t, err)
	defer m.Close()
	dir := t.TempDir()
	var said []string
	o := SearchOptions{
		Compile: CompileOptions{Device: CPU, Context: 64}, Measure: 1, CacheDir: dir,
		Say: func(line string) { said = append(said, line) },
	}
	dev, err := OpenDevice(CPU, cpu.Options{})
	measured := err == nil
	if measured {
		require.NoError(t, dev.Close())
	} else {
		require.True(t, errors.Is(err, cpu.ErrNoCompiler), err)
	}
	found, err := Search(context.Background(), m, o)
	require.NoError(t, err)
	require.Greater(t, found.Subsets, found.Graphs)
	require.Greater(t, found.Graphs, 5000)
	require.Empty(t, found.FromCache)
	names := map[string]bool{}
	for i, c := range found.Candidates {
		names[c.Name] = true
		if i > 0 {
			require.GreaterOrEqual(t, c.PredictedUs, found.Candidates[i-1].PredictedUs)
		}
		if measured && (i == 0 || c.Name == "default" || c.Name == "floor") {
			require.NotNil(t, c.Measured, c.Name)
			require.LessOrEqual(t, found.Winner.Measured.Median, c.Measured.Median)
		}
	}
	require.True(t, names["default"])
	require.Equal(t, measured, found.Device == CPU)
	if measured {
		require.Equal(t, "cpu", found.Costs)
		require.Empty(t, found.Unmeasured)
	}
	c, err := Compile(m, CompileOptions{Device: CPU, Context: 64, Passes: found.Winner.Passes})
	require.NoError(t, err)
	require.NoError(t, c.Plan.Check())

	// The second search is the file.
	again, err := Search(context.Background(), m, o)
	require.NoError(t, err)
	require.NotEmpty(t, again.FromCache)
	again.FromCache = ""
	require.Equal(t, found, again)
	require.Contains(t, said[len(said)-1], "from "+dir)

	// What a search depends on has a name of its own.
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	s := search{SearchOptions: o, m: m}
	s.Phase, s.Compile.Context = "decode", 65
	require.NoError(t, s.prepare())
	defer s.closeDevice()
	require.NotEqual(t, files[0], s.file().path)
}

func TestSearchFile(t *testing.T) {
	f := searchFile{filepath.Join(t.TempDir(), "deep", "x.json")}
	var said []string
	say := func(line string) { said = append(said, line) }
	require.Nil(t, f.read(say))
	require.Empty(t, said)
	for _, broken := range []string{"", "{", `{"winner":{"passes":"no-such-pass"}}`, `{}`, `{"device":"cpu","winner":{"passes":"cse"}}`} {
		require.NoError(t, os.MkdirAll(filepath.Dir(f.path), 0o755))
		require.NoError(t, os.WriteFile(f.path, []byte(broken), 0o644))
		said = nil
		require.Nil(t, f.read(say), broken)
		require.Len(t, said, 1)
		require.True(t, strings.HasPrefix(said[0], "search: "+f.path+" is ignored and made anew: "), said[0])
	}
	want := &Found{Model: "m", Winner: Candidate{Passes: "cse"}}
	said = nil
	f.write(want, say)
	have := f.read(say)
	have.FromCache = ""
	require.Equal(t, want, have)
	entries, err := os.ReadDir(filepath.Dir(f.path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left beside it")

	searchFile{filepath.Join(f.path, "x.json")}.write(want, say) // below a file
	require.Len(t, said, 1)
	searchFile{}.write(want, say)
	require.Nil(t, searchFile{}.read(say))
	require.Len(t, said, 1)
}

// What takes a pipeline says that it does not search.
func TestSearchIsNoPipeline(t *testing.T) {
	m, err := Open("", Hub{})
	require.NoError(t, err)
	defer m.Close()
	_, err = Compile(m, CompileOptions{Passes: SearchPasses})
	require.ErrorContains(t, err, "no pipeline yet")
}
