// Package goldens opens the models that have goldens made with Hugging Face
// transformers, for tests: float32 from the bf16 weights, eager attention. For each
// prompt NAME a file holds NAME.input_ids, NAME.logits and NAME.hidden.I of the last rows
// (hidden 0 is the embedding, the last one stands behind the final norm), NAME.greedy_ids
// and NAME.greedy_margin.
//
// Read next: tests/models/goldens_test.go, which holds the compiler to them.
package goldens

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"foundry"
	"foundry/frontends/checkpoint"
	"foundry/ir/dtype"
	"foundry/ir/interp"

	"github.com/stretchr/testify/require"
)

// Bounds of a row's NMSE, and the margin from which on greedy ids count. On cpu f16
// weights are exact here (the goldens' are bf16), the f16 cache alone accounts for up to
// 2.1e-7, and greedy ids count where the golden's margin is above what such an error can
// turn over.
const (
	OnRef  = interp.ModelF32 // holds in every row: float32 weights, whatever passes did to the graph
	OnCPU  = interp.ModelF16
	Margin = 0.02
)

// Models are the names of those that have goldens. The first is embedded in the program.
var Models = []string{checkpoint.KJV2MName, "rand-hd64", "rand-hd128"}

// Folder is tests/testdata, seen from the folder of any test of the module.
func Folder(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "tests", "testdata")
		}
		up := filepath.Dir(dir)
		require.NotEqual(t, up, dir, "no go.mod above the test's folder")
		dir = up
	}
}

// Prompt is one prompt of a model, and what transformers made of it.
type Prompt struct {
	Name   string
	source checkpoint.Source
}

// Open opens a model of Models, and its prompts. Both are closed when the test ends.
func Open(t testing.TB, name string) (*foundry.Model, []Prompt) {
	t.Helper()
	dir := filepath.Join(Folder(t), name)
	path := dir
	if name == checkpoint.KJV2MName {
		path = name // embedded in the program
	}
	m, err := foundry.Open(path, foundry.Hub{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	source, err := checkpoint.Open(filepath.Join(dir, "goldens.safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, source.Close()) })
	var out []Prompt
	for _, tensor := range source.Names() {
		if prompt, ok := strings.CutSuffix(tensor, ".input_ids"); ok {
			out = append(out, Prompt{prompt, source})
		}
	}
	require.NotEmpty(t, out)
	return m, out
}

// Floats are the values of a tensor of the prompt, such as "logits".
func (p Prompt) Floats(t testing.TB, tensor string) []float32 {
	t.Helper()
	return Floats(t, p.source, p.Name+"."+tensor)
}

// Floats are the values of a source's tensor.
func Floats(t testing.TB, s checkpoint.Source, tensor string) []float32 {
	t.Helper()
	raw, err := checkpoint.ReadAs(s, tensor, dtype.F32, nil)
	require.NoError(t, err)
	out := make([]float32, len(raw)/4)
	dtype.Dequantise(dtype.F32, raw, out)
	return out
}

// IDs are the ids of a tensor of the prompt, such as "input_ids".
func (p Prompt) IDs(t testing.TB, tensor string) []int32 {
	t.Helper()
	raw, err := checkpoint.ReadAs(p.source, p.Name+"."+tensor, dtype.I32, nil)
	require.NoError(t, err)
	out := make([]int32, len(raw)/4)
	for i := range out {
		out[i] = int32(raw[4*i]) | int32(raw[4*i+1])<<8 | int32(raw[4*i+2])<<16 | int32(raw[4*i+3])<<24
	}
	return out
}

// NMSE compares the tail of have, as long as want, with want.
func NMSE(have, want []float32) float64 {
	return interp.Compare(have[len(have)-len(want):], want).NMSE
}

// WorstRow is the largest NMSE of a row of logits, of as many last rows of have as the
// golden holds.
func (p Prompt) WorstRow(t testing.TB, have []float32, vocab int) float64 {
	t.Helper()
	want := p.Floats(t, "logits")
	have = have[len(have)-len(want):]
	worst := 0.0
	for at := 0; at < len(want); at += vocab {
		worst = max(worst, NMSE(have[at:at+vocab], want[at:at+vocab]))
	}
	return worst
}

// RequireGreedy compares greedy ids up to the first difference, which counts only where
// the golden's margin is above the given one. It returns how many agree.
func (p Prompt) RequireGreedy(t testing.TB, have []int32, margin float64) int {
	t.Helper()
	want := p.IDs(t, "greedy_ids")
	require.Len(t, have, len(want))
	same, ok := interp.Agreement(have, want, p.Floats(t, "greedy_margin"), margin)
	require.True(t, ok, "%s: greedy ids differ at %d: have %v, want %v", p.Name, same, have, want)
	return same
}
