package passes_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"foundry/ir"
	"foundry/ir/irgen"
	"foundry/ir/sym"
	"foundry/lower/plan"
	"foundry/passes"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

// full asks for every random graph and every subset.
var full = os.Getenv("FOUNDRY_COMPLETE") != ""

// Each file of testdata holds a pipeline, a graph, what the pipeline makes of it,
// and what the log says. Both graphs have the same results.
func TestTexts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			require.NoError(t, err)
			part := func(name string) *txtar.File {
				for i := range a.Files {
					if a.Files[i].Name == name {
						return &a.Files[i]
					}
				}
				a.Files = append(a.Files, txtar.File{Name: name})
				return &a.Files[len(a.Files)-1]
			}
			p, err := passes.Parse(strings.TrimSpace(string(part("pipeline").Data)))
			require.NoError(t, err)
			g, err := ir.Parse(file, string(part("in").Data))
			require.NoError(t, err)
			before := g.Clone()
			var log passes.Log
			cx := chooses(t)
			cx.Log = &log
			require.NoError(t, p.Run(g, cx))
			var text strings.Builder
			require.NoError(t, plan.Explain(&text, log.Decisions))
			if *update {
				part("out").Data, part("log").Data = []byte(g.String()), []byte(text.String())
				require.NoError(t, os.WriteFile(file, txtar.Format(a), 0o666))
			}
			require.Equal(t, string(part("out").Data), g.String())
			require.Equal(t, string(part("log").Data), text.String())
			if elements(before) > 1<<21 {
				return // too many for the interpreter
			}
			for seed := range uint64(3) {
				e := irgen.Env(before, seed)
				requireSame(t, values(t, before, before, seed, e), values(t, g, before, seed, e), file)
			}
		})
	}
}

// elements is the number of elements of g's params, for one token.
func elements(g *ir.Graph) (n int64) {
	for _, v := range g.Params {
		n += v.Type.Shape.Elems(sym.Env{T: 1})
	}
	return n
}

// Every pass has a file in which it edits, and every one that decides refuses a site
// there or in a file NAME-miss.
func TestEveryPassHasTexts(t *testing.T) {
	for _, p := range passes.BuiltIn().Passes() {
		name := strings.TrimPrefix(p.Name, "fuse-")
		log := func(file string) string {
			a, err := txtar.ParseFile(filepath.Join("testdata", file+".txtar"))
			require.NoError(t, err)
			require.Contains(t, string(a.Files[0].Data), p.Name, file)
			for _, f := range a.Files {
				if f.Name == "log" {
					return string(f.Data)
				}
			}
			return ""
		}
		hit := log(name)
		if name == "canonicalize" || name == "cse" || name == "dce" || name == "legalize" {
			continue
		}
		require.Contains(t, hit, plan.Matched, p.Name)
		miss := hit
		if _, err := os.Stat(filepath.Join("testdata", name+"-miss.txtar")); err == nil {
			miss = log(name + "-miss")
			require.NotContains(t, miss, plan.Matched, p.Name)
		}
		require.Regexp(t, plan.Refused+"|"+plan.Taken, miss, p.Name)
		require.NotContains(t, miss, "no site", p.Name)
	}
}
