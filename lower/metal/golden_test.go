package metal_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
)

var update = flag.Bool("update", false, "rewrite the golden kernels")

// TestGoldenKernels compares the text of a layer's kernels, from the banner of the
// kernel on: stage files stand in shaders/.
func TestGoldenKernels(t *testing.T) {
	c := decoder.Config{Arch: qwen25.Family.Arch, Layers: 1, Hidden: 192, Intermediate: 320, Heads: 3, KVHeads: 1, HeadDim: 64, Vocab: 300, MaxPositions: 1024, NormEps: 1e-6, RopeTheta: 1e6, Tied: true}
	for _, k := range []struct {
		file, pipeline string
		target         *target.Target
		entry          int
		context, chunk int
	}{
		{"default", pipelineDefault, m3Pro(t), 1, 128, 32},
		{"fewest", pipelineFewest, m3Pro(t), 1, 128, 32},
		{"prefill-default", pipelineDefault, m3Pro(t), 0, 1024, 512},
		{"prefill-fewest", pipelineFewest, m3Pro(t), 0, 1024, 512},
		{"prefill-h100", pipelineDefault, targetNamed(t, "h100"), 0, 1024, 512}, // blocks that are copied
	} {
		t.Run(k.file, func(t *testing.T) {
			o := decoder.BuildOptions{Context: k.context, Chunk: k.chunk, Weights: dtype.F16, Cache: dtype.F16}
			in := entries(t, c, o, k.pipeline, k.target)
			whole, err := metal.Compile(in, options(c, o, k.target))
			require.NoError(t, err)
			require.NoError(t, whole.Check())
			if k.entry == 1 {
				o.Chunk = 1
			}
			in[k.entry].Role = "" // a plan with one of a language model's two entries is no language model's
			p, err := metal.Compile(in[k.entry:k.entry+1], options(c, o, k.target))
			require.NoError(t, err)
			file := filepath.Join("testdata", k.file+".txtar")
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
