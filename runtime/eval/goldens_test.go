package eval

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/runtime"
	"foundry/runtime/engine"
)

// A golden of the engine's own logits and ids is met; one whose logits lie further off
// than the bound, or whose ids differ where its margin counts, is not, and says by how much.
func TestGoldensThatDiffer(t *testing.T) {
	ctx := context.Background()
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	e, err := engine.Start(ctx, m, engine.Options{Device: engine.Ref, Compile: compile.Options{Context: 32}})
	require.NoError(t, err)
	defer e.Close()
	prompt := []int32{7, 11, 13}
	in, err := e.Open()
	require.NoError(t, err)
	s := runtime.NewSession(in)
	require.NoError(t, s.Prefill(ctx, prompt))
	logits, err := s.Logits()
	require.NoError(t, err)
	logits = slices.Clone(logits)
	ids, _, err := s.Greedy(ctx, 3)
	require.NoError(t, err)
	require.NoError(t, s.Close())

	same := Golden{Prompt: "p", IDs: prompt, Logits: logits, Greedy: ids, Margins: []float32{1, 1, 1}}
	bounds := GoldenBounds{NMSE: 1e-4, Margin: 0.5}
	compare := func(g Golden, b GoldenBounds) *GoldenResult {
		r, err := g.Compare(ctx, e, b)
		require.NoError(t, err)
		return r
	}
	r := compare(same, bounds)
	require.True(t, r.OK, r.Failure())
	require.Equal(t, []int{3, len(logits), 3, 3}, []int{r.Tokens, r.Logits, r.Same, r.Of})
	require.Zero(t, r.NMSE)
	require.Zero(t, r.Margin)

	// Logits a tenth too large: by the golden's own power the error is 0.01 / 1.21.
	far := same
	far.Logits = slices.Clone(logits)
	for i := range far.Logits {
		far.Logits[i] *= 1.1
	}
	r = compare(far, bounds)
	require.False(t, r.OK)
	require.InEpsilon(t, 0.01/1.21, r.NMSE, 1e-2)
	require.Contains(t, r.Failure(), "NMSE 0.00826 is above 0.0001")
	require.True(t, compare(far, GoldenBounds{NMSE: 0.01, Margin: 0.5}).OK)

	// Only the logits of the largest ids are known.
	top := same
	top.Logits, top.TopIDs, top.TopLogits = nil, []int32{5, 3}, []float32{logits[5], logits[3]}
	r = compare(top, bounds)
	require.True(t, r.OK, r.Failure())
	require.Equal(t, 2, r.Logits)
	top.TopLogits = []float32{logits[5] + 9, logits[3]}
	r = compare(top, bounds)
	require.False(t, r.OK)
	require.InDelta(t, 9, r.MaxAbs, 1e-3)

	// Another id counts where the golden's margin is above the bound.
	other := same
	other.Greedy = slices.Clone(ids)
	other.Greedy[1] = (ids[1] + 1) % int32(len(logits))
	other.Margins = []float32{1, 0.6, 1}
	r = compare(other, bounds)
	require.False(t, r.OK)
	require.Equal(t, 1, r.Same)
	require.InDelta(t, 0.6, r.Margin, 1e-6)
	require.Contains(t, r.Failure(), "greedy id 1 is ")
	require.Contains(t, r.Failure(), "with a margin of 0.6")
	other.Margins[1] = 0.4
	require.True(t, compare(other, bounds).OK, "what rounding decides")
}

// A golden whose parts do not fit together is refused with the numbers that do not.
func TestGoldensThatAreNone(t *testing.T) {
	const vocab = 5
	whole := Golden{Prompt: "p", IDs: []int32{1, 2, 3}, Logits: make([]float32, 2*vocab), Greedy: []int32{4}, Margins: []float32{1}}
	require.NoError(t, whole.check(vocab))
	for want, change := range map[string]func(g *Golden){
		"prompt p is empty": func(g *Golden) { g.IDs = nil },
		"prompt p: 11 logits are no rows of 3 tokens for a vocabulary of 5": func(g *Golden) { g.Logits = make([]float32, 11) },
		"prompt p: 20 logits are no rows of 3 tokens for a vocabulary of 5": func(g *Golden) { g.Logits = make([]float32, 4*vocab) },
		"prompt p: 2 ids and 1 logits of the most likely tokens":            func(g *Golden) { g.TopIDs, g.TopLogits = []int32{1, 2}, []float32{1} },
		"prompt p: 0 ids and 0 logits of the most likely tokens":            func(g *Golden) { g.Logits = nil },
		"prompt p: 1 greedy ids and 2 margins":                              func(g *Golden) { g.Margins = []float32{1, 2} },
	} {
		g := whole
		change(&g)
		require.EqualError(t, g.check(vocab), want)
	}
}

// Goldens of a list in JSON come shortest prompt first, whatever their order there.
func TestGoldensOfAList(t *testing.T) {
	m, err := model.Open("synth:qwen2.5-0.5b", checkpoint.Hub{})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "goldens.json")
	const prompt = `"%d": {"ids": "(i*3+1)%%5 for i in 0..T-1", "top32_ids": [1], "top32_logits": [0.5], "greedy_ids": [2], "greedy_margins": [1]}`
	text := `{"qwen2.5-0.5b": {"prompts": {` + fmt.Sprintf(prompt+", "+prompt+", "+prompt, 9, 2, 4) + `}}}`
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	goldens, err := ReadGoldens(path, m, nil)
	require.NoError(t, err)
	var lengths []int
	for _, g := range goldens {
		lengths = append(lengths, len(g.IDs))
	}
	require.Equal(t, []int{2, 4, 9}, lengths)
	require.Equal(t, []int32{1, 4, 2, 0}, goldens[1].IDs)
}
