package engine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/dtype"
	"foundry/lower/compile"
)

// A model file that is cut while it is mapped ends a run on the reference, which reads
// weights where they are mapped, with one error that names the file.
func TestCutModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.gguf")
	_, err := model.Convert(t.Context(), embedded(t), dtype.F32, path, nil)
	require.NoError(t, err)
	m, err := model.Open(path, checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	e, err := Start(t.Context(), m, Options{Device: Ref, Compile: compile.Options{Weights: dtype.F32}})
	require.NoError(t, err)
	defer e.Close()
	s, err := e.NewSession()
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, s.IDs.Prefill(t.Context(), []int32{1, 2, 3}))
	require.NoError(t, os.Truncate(path, 65536))
	require.ErrorContains(t, s.IDs.Prefill(t.Context(), []int32{4, 5, 6}), "model.gguf was cut to 65536 bytes while it was in use")
}
