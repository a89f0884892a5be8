package main

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"foundry/shaders"
)

// Every stage file is read by a row of a quick run, where a mistake in it can be noticed;
// but for what begins the next step, which no graph has.
func TestEveryStageHasARow(t *testing.T) {
	r := newRowRunner(nil, "")
	require.NoError(t, fs.WalkDir(shaders.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var rows []rowProbe
			rows, err = r.of(path)
			assert.Equal(t, path == "epilogue/advance.metal", len(rows) == 0, path)
		}
		return err
	}))
}
