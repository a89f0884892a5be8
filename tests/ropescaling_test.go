package tests

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// --rope-scaling does what the same words in config.json do.
func TestRopeScalingFlag(t *testing.T) {
	scaled := modelDir(t, config(t, map[string]any{"max_position_embeddings": 64, "rope_scaling": map[string]any{"type": "yarn", "factor": 4}}))
	plain := modelDir(t, config(t, map[string]any{"max_position_embeddings": 64}))
	eval := []string{"eval", "--device", "ref", "--ids", "5,7,9,11", "--greedy", "3", "--json", "--context", "256", "--model"}
	var want, have struct {
		Top []struct {
			ID    int32
			Logit float64
		}
	}
	require.NoError(t, json.Unmarshal([]byte(ok(t, append(eval, scaled)...)), &want))
	require.NoError(t, json.Unmarshal([]byte(ok(t, append(eval, plain, "--rope-scaling", "yarn:4")...)), &have))
	require.NotEmpty(t, want.Top)
	require.Equal(t, want, have)
	requireOneLine(t, nil, 1, "context is 256, want 1 to 64", append(eval, plain)...)
	requireOneLine(t, nil, 1, "config.json scales RoPE already: yarn by 4", append(eval, scaled, "--rope-scaling", "yarn:4")...)
	requireOneLine(t, nil, 2, "want yarn:FACTOR or linear:FACTOR", append(eval, plain, "--rope-scaling", "ntk:4")...)
	requireOneLine(t, nil, 1, "is a graph and no language model", "compile", "--model", firFile(t), "--rope-scaling", "yarn:4", "-o", t.TempDir())
	requireOneLine(t, nil, 2, "--rope-scaling has no effect on what is written", "convert", "--model", plain, "--rope-scaling", "yarn:4", "-o", filepath.Join(t.TempDir(), "x.gguf"))
	requireOneLine(t, nil, 2, "--rope-scaling has no effect beside --plan", "eval", "--device", "cpu", "--plan", "x", "--ids", "1", "--rope-scaling", "yarn:4")
}
