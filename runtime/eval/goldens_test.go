package eval

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/dtype"
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
		"prompt p: id 5 is outside the vocabulary of 5":                     func(g *Golden) { g.IDs = []int32{1, 5, 3} },
		"prompt p: id -1 is outside the vocabulary of 5":                    func(g *Golden) { g.IDs = []int32{1, -1, 3} },
		"prompt p: id 6 is outside the vocabulary of 5":                     func(g *Golden) { g.TopIDs, g.TopLogits = []int32{6}, []float32{1} },
		"prompt p: id 7 is outside the vocabulary of 5":                     func(g *Golden) { g.Greedy = []int32{7} },
	} {
		g := whole
		change(&g)
		require.EqualError(t, g.check(vocab), want)
	}
	for _, sound := range []func(g *Golden){
		func(g *Golden) { g.IDs = []int32{0, 4, 0} }, func(g *Golden) { g.Logits = make([]float32, 3*vocab) },
		func(g *Golden) { g.Greedy, g.Margins = nil, nil }, func(g *Golden) { g.Logits, g.TopIDs, g.TopLogits = nil, []int32{4}, []float32{1} },
	} {
		g := whole
		sound(&g)
		require.NoError(t, g.check(vocab))
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

// A list in JSON that is none says why, with what it has.
func TestListsOfGoldensThatAreNone(t *testing.T) {
	m, err := model.Open("synth:qwen2.5-0.5b", checkpoint.Hub{})
	require.NoError(t, err)
	dir := t.TempDir()
	ids := func(formula string) string { return `{"qwen2.5-0.5b": {"prompts": {"3": {"ids": "` + formula + `"}}}}` }
	for text, want := range map[string]string{
		`{"b": {}, "a": {}}`: `has no model "qwen2.5-0.5b", it has a, b`,
		`{`:                  "unexpected end of JSON input",
		ids("1 2 3"):         `prompt 3: ids "1 2 3", want (i*A+B)%C for i in 0..T-1`,
		ids("(i*99999999999999999999+1)%5 for i in 0..T-1"): "prompt 3: strconv.Atoi",
		ids("(i*3+1)%5 for i in 0..T-1"):                    "prompt 3: 0 ids and 0 logits of the most likely tokens",
		`{"qwen2.5-0.5b": {"prompts": {}}}`:                 "holds no golden",
		ids("(i*0+151936)%151937 for i in 0..T-1"):          "prompt 3: 0 ids and 0 logits",
	} {
		path := filepath.Join(dir, "goldens.json")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		_, err := ReadGoldens(path, m, nil)
		require.ErrorContains(t, err, "goldens "+path+": ")
		require.ErrorContains(t, err, want)
	}
	path := filepath.Join(dir, "large.json")
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	require.NoError(t, os.Truncate(path, 256<<20+1)) // sparse
	_, err = ReadGoldens(path, m, nil)
	require.ErrorContains(t, err, "is larger than 268 MB, the limit for such a file")
	_, err = ReadGoldens(filepath.Join(dir, "goldens.txt"), m, nil)
	require.ErrorContains(t, err, "want a .safetensors or a .json file")
}

// Goldens of tensors have what the file holds of each prompt; one that holds logits alone is
// of the ids that are given.
func TestGoldensOfTensors(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	vocab := m.Config.Vocab
	logits := make([]float32, 2*vocab)
	for i := range logits {
		logits[i] = float32(i) / 4
	}
	of := func(name string, d dtype.Type, data []byte, shape ...int64) checkpoint.Tensor {
		return checkpoint.Tensor{Name: name, DType: d, Shape: shape, Data: data}
	}
	path := inputs(t,
		of("a.input_ids", dtype.I32, i32s(3, 1, 4), 3), of("a.logits", dtype.F32, f32s(logits...), 2, int64(vocab)),
		of("a.greedy_ids", dtype.I32, i32s(9, 2), 2), of("a.greedy_margin", dtype.F32, f32s(0.5, 0.25), 2),
		of("b.input_ids", dtype.I32, i32s(7), 1), of("b.logits", dtype.F32, f32s(logits[:vocab]...), 1, int64(vocab)), of("notes", dtype.F32, f32s(1), 1))
	goldens, err := ReadGoldens(path, m, []int32{1, 2})
	require.NoError(t, err)
	slices.SortFunc(goldens, func(a, b Golden) int { return strings.Compare(a.Prompt, b.Prompt) })
	require.Equal(t, []Golden{
		{Prompt: "a", IDs: []int32{3, 1, 4}, Logits: logits, Greedy: []int32{9, 2}, Margins: []float32{0.5, 0.25}},
		{Prompt: "b", IDs: []int32{7}, Logits: logits[:vocab]},
	}, goldens)

	alone := inputs(t, of("logits", dtype.F32, f32s(logits...), 2, int64(vocab)))
	goldens, err = ReadGoldens(alone, m, []int32{5, 6})
	require.NoError(t, err)
	require.Equal(t, []Golden{{Prompt: "ids", IDs: []int32{5, 6}, Logits: logits}}, goldens)
	_, err = ReadGoldens(alone, m, nil)
	require.ErrorContains(t, err, "holds logits alone; give the ids that they are of")
	_, err = ReadGoldens(inputs(t, of("x.input_ids", dtype.F32, f32s(1), 1), of("notes", dtype.F32, f32s(1), 1)), m, nil)
	require.Error(t, err, "ids of another dtype")
	_, err = ReadGoldens(inputs(t, of("notes", dtype.F32, f32s(1), 1), of("more", dtype.F32, f32s(1), 1)), m, nil)
	require.ErrorContains(t, err, "holds no golden")
}

// Every row that a golden has is compared, of an engine that keeps the logits of all; a
// golden without greedy ids says nothing of any.
func TestGoldensOfSeveralRows(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	e, err := engine.Start(t.Context(), m, engine.Options{Device: engine.Ref, Compile: compile.Options{Context: 32, AllLogits: true}})
	require.NoError(t, err)
	defer e.Close()
	prompt := []int32{7, 11, 13}
	answer, err := Prompt(t.Context(), e, Options{IDs: prompt, Top: 1})
	require.NoError(t, err)
	vocab := m.Config.Vocab
	require.Len(t, answer.Logits, 3*vocab)
	for rows := 1; rows <= 3; rows++ {
		g := Golden{Prompt: "p", IDs: prompt, Logits: slices.Clone(answer.Logits[(3-rows)*vocab:])}
		r, err := g.Compare(t.Context(), e, GoldenBounds{})
		require.NoError(t, err)
		require.Equal(t, &GoldenResult{Prompt: "p", Tokens: 3, Logits: rows * vocab, OK: true}, r)
		g.Logits[0] += 3 // of the first row that it has
		r, err = g.Compare(t.Context(), e, GoldenBounds{})
		require.NoError(t, err)
		require.False(t, r.OK)
		require.InDelta(t, 3, r.MaxAbs, 1e-5)
	}
}
