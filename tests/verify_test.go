package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
	"foundry/tests/oncpu"
	"foundry/verify"
)

const created = `graph @created (T=1..9, P=0..64, S<=64) {
  %0 = input "x" : f32[T, 64]
  %1 = weight "w" : q8_0[32, 64]
  %2 = arange {start=P, size=T} : f32[T]
  %3 = ones {size=T} : f32[T]
  %4 = add %2, %3 : f32[T]
  %5 = matmul_nt %0, %1 : f32[T, 32]
  %6 = silu %5 : f32[T, 32]
  %7 = mul %6, %5 : f32[T, 32]
  return position=%4, one=%3, y=%7
}
`

const norms = `graph @norms (T=1..9, P=0..64, S<=64) {
  %0 = input "x" : f16[T, 33]
  %1 = weight "f" : f32[33]
  %2 = weight "rows" : q6_k[7, 512]
  %3 = weight "g" : f32[512]
  %4 = rms_norm %0, %1 {eps=1e-06} : f32[T, 33]
  %5 = rms_norm %2, %3 {eps=1e-06} : f32[7, 512]
  return y=%4, z=%5
}
`

// Norms of narrow and of quantised rows, from a .fir graph.
func TestVerifyNorms(t *testing.T) {
	file := filepath.Join(t.TempDir(), "norms.fir")
	require.NoError(t, os.WriteFile(file, []byte(norms), 0o666))
	devices := []string{"ref", "cpu"}
	if d, err := cpu.Open(t.Context(), cpu.Options{}); !devicetest.Have(t, err) {
		devices = devices[:1]
	} else {
		require.NoError(t, d.Close())
	}
	for _, device := range devices {
		var r verify.Report
		require.NoError(t, json.Unmarshal([]byte(ok(t, "verify", file, "--device", device, "--json")), &r))
		require.Equal(t, device, r.Device)
		for _, row := range r.Rows {
			require.True(t, row.Pass, row.Failure)
			require.Positive(t, row.Cases)
		}
	}
}

// The command prints a row a kernel and format, with what the row must say; a graph
// of a file is verified behind each pipeline.
func TestVerifyCommand(t *testing.T) {
	t.Parallel()
	var r verify.Report
	require.NoError(t, json.Unmarshal([]byte(ok(t, "verify", "--quick", "--device", "ref", "--only", "matmul GEMV q", "--json")), &r))
	require.Len(t, r.Rows, 18) // the ten block formats whose names begin with q, and eight of them in planes
	for _, row := range r.Rows {
		require.Equal(t, "matmul", row.Checklist)
		require.True(t, row.Pass)
		require.Equal(t, 1e-6, row.Bound.NMSE)
		require.Equal(t, "unfused", row.Uses[0].Pipeline)
		require.Contains(t, row.Uses[0].Nodes, "layers.N.down_proj")
	}
	text := ok(t, "verify", "--quick", "--device", "ref", "--only", "norm")
	for _, want := range []string{"rmsnorm + qkv", "NMSE 1e-06", "final_norm", "layers.N.qkv", "runs no kernel"} {
		require.Contains(t, text, want)
	}

	file := filepath.Join(t.TempDir(), "created.fir")
	require.NoError(t, os.WriteFile(file, []byte(created), 0o666))
	r = verify.Report{}
	require.NoError(t, json.Unmarshal([]byte(ok(t, "verify", file, "--device", "ref", "--json")), &r))
	require.Len(t, r.Rows, 4)
	require.Equal(t, "@created unfused", r.Rows[0].Kernel)
	require.Zero(t, *r.Rows[0].ULP) // arange and ones, exactly
	require.NotNil(t, r.Rows[2].Twin)

	requireOneLine(t, nil, 2, "verified alone", "verify", file, "--only", "add")
	requireOneLine(t, nil, 2, "no .fir graph", "verify", "graph.txt")
	requireOneLine(t, nil, 1, "no kernel and format", "verify", "--device", "ref", "--only", "nothing")
	requireOneLine(t, nil, 2, "there is no device", "verify", "--device", "gpu")
}

// A wrong kernel is exit code 1, and a line that names the row.
func TestVerifyFails(t *testing.T) {
	oncpu.Need(t)
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "epilogue"), 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "epilogue", "silu.metal"), []byte("template <typename V> inline V silu(V x) { return x / (V(1.001f) + exp(-x)); }\n"), 0o666))
	code, out, errs := foundryCmd(t, nil, "verify", "--quick", "--only", "silu", "--shaders", dir, "--trust-kernels")
	require.Equal(t, 1, code)
	require.Contains(t, out, "FAIL")
	require.Equal(t, 2, strings.Count(errs, "\n"), errs)
	require.Contains(t, errs, "--trust-kernels: kernels are compiled and run whatever their text is\n")
	require.Contains(t, errs, "1 of 1 rows failed: silu, mul f32")
}
