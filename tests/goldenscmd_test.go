package tests

import (
	"path/filepath"
	"strings"
	"testing"

	"foundry/frontends/checkpoint"

	"github.com/stretchr/testify/require"
)

// eval --goldens prints a line a prompt and fails where a bound is broken.
func TestEvalGoldens(t *testing.T) {
	model, file := filepath.Join("testdata", "rand-hd64"), filepath.Join("testdata", "rand-hd64", "goldens.safetensors")
	out := ok(t, "eval", "--model", model, "--goldens", file)
	require.Equal(t, 3, strings.Count(out, "16 of 16  ok"), out)
	out = ok(t, "eval", "--model", model, "--goldens", file, "--json")
	require.Equal(t, []string{"prompt", "tokens", "logits", "nmse", "max_abs", "greedy_same", "greedy_of", "ok"}, fields(t, out))

	code, out, errs := foundryCmd(t, nil, "eval", "--model", model, "--goldens", file, "--nmse", "1e-20")
	require.Equal(t, 1, code)
	require.Contains(t, out, "is above 1e-20")
	require.Equal(t, "foundry: rand-hd64 on ref: 3 of 3 goldens are missed\n", errs)

	// What --logits-out wrote is a golden of its ids.
	logits := filepath.Join(t.TempDir(), "logits.safetensors")
	ok(t, "eval", "--model", model, "--ids", "1,2,3", "--logits-out", logits)
	require.Contains(t, ok(t, "eval", "--model", model, "--ids", "1,2,3", "--goldens", logits), "NMSE 0.00e+00")
	code, _, _ = foundryCmd(t, nil, "eval", "--model", model, "--ids", "1,2,4", "--goldens", logits)
	require.Equal(t, 1, code)
	for _, c := range [][]string{
		{"holds logits alone", "--goldens", logits},
		{"rows of 2 tokens", "--goldens", logits, "--ids", "1,2"},
		{`has no model "rand-hd64"`, "--goldens", filepath.Join("testdata", "synth-goldens.json")},
		{"no such", "--goldens", "nowhere.safetensors"},
		{"want a .safetensors", "--goldens", "nowhere.txt"},
	} {
		code, _, errs := foundryCmd(t, nil, append([]string{"eval", "--model", model}, c[1:]...)...)
		require.Equal(t, 1, code)
		require.Contains(t, errs, c[0])
		require.Equal(t, 1, strings.Count(errs, "\n"), errs)
	}
}

// The published goldens of the large shapes name their models as --model does.
func TestSynthGoldensAreRead(t *testing.T) {
	code, _, errs := foundryCmd(t, nil, "eval", "--model", checkpoint.KJV2MName, "--goldens", filepath.Join("testdata", "synth-goldens.json"))
	require.Equal(t, 1, code)
	require.Contains(t, errs, "it has qwen2.5-0.5b, qwen2.5-1.5b")
}
