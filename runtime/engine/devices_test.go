package engine

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/runtime/cpu"
)

// Every device is told of, in the order in which auto prefers them: what it is, or what
// was looked for. The interpreter needs nothing and comes last.
func TestFindDevicesTellsOfAll(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "no-compiler")
	found := FindDevices(t.Context(), cpu.Options{CXX: absent})
	require.Equal(t, []string{Metal, CUDA, CPU, Ref}, []string{found[0].Name, found[1].Name, found[2].Name, found[3].Name})
	require.Len(t, found, 4)
	for _, d := range found {
		require.NotEmpty(t, d.Note, d.Name)
	}
	require.False(t, found[2].Usable)
	require.Contains(t, found[2].Note, absent)
	require.True(t, found[3].Usable)
}

// A name is a kind and, of GPUs, which of them.
func TestParseDevice(t *testing.T) {
	for name, want := range map[string]int{Ref: 0, CPU: 0, CUDA: 0, Metal: 0, Auto: 0, "cuda:0": 0, "cuda:3": 3, "metal:1": 1} {
		kind, ordinal, err := ParseDevice(name)
		require.NoError(t, err, name)
		require.Equal(t, want, ordinal, name)
		require.Equal(t, name[:len(kind)], kind)
	}
	for _, name := range []string{"", "gpu", "cpu:0", "ref:1", "auto:0", "cuda:", "cuda:-1", "cuda:x", "metal:1:2"} {
		_, _, err := ParseDevice(name)
		require.Error(t, err, name)
	}
}
