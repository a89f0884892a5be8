package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Names in files cannot act on a terminal, and cannot pass for a line of ours.
func TestControlCharacters(t *testing.T) {
	dir := t.TempDir()
	fir := filepath.Join(dir, "x.fir")
	require.NoError(t, os.WriteFile(fir, []byte(`graph @g (T=1..4, P=0..0, S<=4) {
  %x = input "x\x1b[2J\nfoundry: fine" : f32[T, 64]
  %y = silu %x @"label\x1b]0;title\x07\u009b31m\nfoundry: fine"
  %z = silu %y @"other"
  return "r\x1bz\nfoundry: fine"=%z
}
`), 0o666))
	bundle := filepath.Join(dir, "bundle")
	llama := modelDir(t, config(t, map[string]any{"model_type": "lla\x1b[2Jma\nfoundry: fine"}))
	for _, args := range [][]string{
		{"compile", "--model", fir, "--explain", "-o", bundle},
		{"inspect", fir},
		{"inspect", bundle},
		{"opt", fir, "--variant", "default", "--explain"},
		{"diff", "--model", fir, "per-layer-6", "unfused"},
		{"bench", "--model", fir, "--reps", "0"},
		{"bench", "--model", fir, "--reps", "0", "--format", "csv"},
		{"eval", "--model", fir, "--device", "ref"},
		{"verify", fir, "--device", "ref"},
		{"inspect", llama},
		{"inspect", filepath.Join(dir, "no\x1b[2Jwhere")},
	} {
		_, out, errs := foundryCmd(t, nil, args...)
		for _, text := range []string{out, errs} {
			require.NotContains(t, text, "\x1b", args)
			require.NotContains(t, text, "\x07", args)
			require.NotContains(t, text, "\u009b", args)
			require.NotContains(t, "\n"+strings.ReplaceAll(text, "foundry: this", ""), "\nfoundry: fine", args)
		}
	}
	_, out, _ := foundryCmd(t, nil, "dot", "--model", fir)
	require.NotContains(t, out, "\x1b")
}
