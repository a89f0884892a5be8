package models

import (
	"context"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"foundry"
	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/target"
	"foundry/lower/plan"
	"foundry/runtime/eval"
	"foundry/tests/blocks"
	"foundry/tests/goldens"
	"foundry/tests/oncpu"

	"github.com/stretchr/testify/require"
)

// longModel has the positions of the published models, and is small otherwise.
var longModel = decoder.Config{Arch: qwen25.Family.Arch,
	Layers: 2, Hidden: 128, Intermediate: 192, Heads: 2, KVHeads: 1, HeadDim: 64,
	Vocab: 96, MaxPositions: 32768, NormEps: 1e-6, RopeTheta: 1e6,
}

const longTokensEnv = "FOUNDRY_TEST_TOKENS"

// longTokens is how many tokens the tests of long texts run.
func longTokens(t *testing.T) int {
	t.Helper()
	text := os.Getenv(longTokensEnv)
	if text == "" {
		t.Logf("512 tokens; %s=4096 runs more", longTokensEnv)
		return 512
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// longPass is what is run at once where a pass keeps all scores of a chunk.
const longPass = 512

// TestLongContext runs a long text over caches of 32,768 positions through every
// attention backend, in one pass and in chunks, against the interpreter.
func TestLongContext(t *testing.T) {
	t.Parallel()
	n := longTokens(t)
	m := blocks.New(t, longModel, []dtype.Type{dtype.F16}).Open(t)
	ids := oncpu.IDs(n, longModel.Vocab)
	o := foundry.CompileOptions{Context: longModel.MaxPositions, Chunk: n, AllLogits: true}
	evaluate := func(t *testing.T, e *foundry.Engine, greedy int) *eval.Evaluation {
		t.Helper()
		start := time.Now()
		out, err := eval.Prompt(context.Background(), e, eval.Options{IDs: ids, Greedy: greedy, Top: 1})
		require.NoError(t, err)
		t.Logf("%d tokens in %.1f s", n, time.Since(start).Seconds())
		return out
	}
	reference := o
	reference.Variant, reference.Chunk = "none", longPass
	e, err := foundry.Start(context.Background(), m, foundry.StartOptions{Device: foundry.Ref, Compile: reference})
	require.NoError(t, err)
	defer e.Close()
	want := evaluate(t, e, 8)
	for _, x := range []struct {
		backend string
		target  string
		pass    int // tokens of the fewest runs
		chunks  []int
	}{
		{"auto", target.Default, n, []int{n - 1, 100, 33}},
		{"chained", "h100", longPass, []int{100}}, // for which decode's softmax is in segments
		{"flash", target.Default, n, []int{100}},
		{"split", target.Default, longPass, []int{100}},
	} {
		if os.Getenv(longTokensEnv) != "" && x.backend == "split" {
			x.chunks = append(x.chunks, 1) // every token through decode
		}
		o.Attention, o.Target, o.Chunk = x.backend, x.target, x.pass
		load := oncpu.FromDisk(t, m, o)
		t.Run(x.backend, func(t *testing.T) {
			e := load(t, x.pass)
			whole := evaluate(t, e, 8)
			cut := slices.ContainsFunc(e.Plan.Kernels, func(k plan.Kernel) bool { return k.Main == plan.SoftmaxSegments })
			require.Equal(t, x.backend == "chained", cut, "softmax in segments")
			d := interp.Compare(whole.Logits, want.Logits)
			t.Logf("%d at once against the interpreter: %s", x.pass, d)
			require.LessOrEqual(t, d.NMSE, interp.ModelF16)
			_, ok := interp.Agreement(whole.GreedyIDs, want.GreedyIDs, want.GreedyMargins, goldens.Margin)
			require.True(t, ok, "greedy ids %v, want %v (margins %v)", whole.GreedyIDs, want.GreedyIDs, want.GreedyMargins)
			for _, chunk := range x.chunks {
				d := interp.Compare(evaluate(t, load(t, chunk), 0).Logits, whole.Logits)
				t.Logf("chunks of %d against %d at once: %s", chunk, x.pass, d)
				require.LessOrEqual(t, d.NMSE, chunksBound, "chunks of %d", chunk)
			}
		})
	}
}
