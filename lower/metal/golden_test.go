package metal_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"foundry/frontends/qwen25"
	"foundry/ir/dtype"
	"foundry/lower/metal"
	"foundry/lower/plan"
)

var update = flag.Bool("update", false, "rewrite the golden kernels")

// TestGoldenKernels compares the text of a layer's kernels, from the banner of the
// kernel on: stage files stand in shaders/.
func TestGoldenKernels(t *testing.T) {
	c := qwen25.Config{Layers: 1, Hidden: 192, Intermediate: 320, Heads: 3, KVHeads: 1, HeadDim: 64, Vocab: 300, MaxPositions: 256, NormEps: 1e-6, RopeTheta: 1e6, Tied: true}
	o := qwen25.BuildOptions{Context: 128, Chunk: 32, Weights: dtype.F16, Cache: dtype.F16}
	for name, pipeline := range map[string]string{"default": pipelineDefault, "floor": pipelineFloor} {
		t.Run(name, func(t *testing.T) {
			in := entries(t, c, o, pipeline, m3Pro(t))
			decode := o
			decode.Chunk = 1
			p, err := metal.Compile(in[1:], options(c, decode, m3Pro(t)))
			require.NoError(t, err)
			require.NoError(t, p.Check())
			file := filepath.Join("testdata", name+".txtar")
			have := txtar.Format(goldenOf(p))
			if *update {
				require.NoError(t, os.WriteFile(file, have, 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), string(have), "rewrite with -update")
		})
	}
}

func goldenOf(p *plan.Plan) *txtar.Archive {
	a := &txtar.Archive{}
	for _, k := range p.Kernels {
		_, body, _ := strings.Cut(k.Source, "// ---- kernel ----\n")
		a.Files = append(a.Files, txtar.File{Name: k.Name, Data: []byte(body)})
	}
	return a
}
