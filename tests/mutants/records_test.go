package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Results of sources that have changed are not taken for those of what is there now,
// neither by a second run nor by one that goes on; a line that was cut off is forgotten.
func TestResultsAreOfTheSources(t *testing.T) {
	root, results := t.TempDir(), filepath.Join(t.TempDir(), "results.jsonl")
	put := func(name, text string) {
		name = filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o777))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o666))
	}
	open := func() (*journal, error) {
		of, err := readSources(root)
		require.NoError(t, err)
		return openJournal(results, of)
	}
	put("a/a.go", "package a")
	put("a/notes.md", "not a source")
	j, err := open()
	require.NoError(t, err)
	require.NoError(t, j.write(record{Kind: "go", Seed: 1, N: 2, Stage: byOwn}))
	require.NoError(t, j.file.Close())
	f, err := os.OpenFile(results, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"kind":"go","se`)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	put("a/notes.md", "still none")
	j, err = open()
	require.NoError(t, err)
	require.Equal(t, map[string]record{key("go", 1, 2): {Kind: "go", Seed: 1, N: 2, Stage: byOwn}}, j.had)
	put("a/testdata/new.txt", "read by a test")
	require.ErrorIs(t, j.write(record{}), errOtherSources)
	require.NoError(t, j.file.Close())
	_, err = open()
	require.ErrorIs(t, err, errOtherSources)

	require.NoError(t, os.Remove(filepath.Join(root, "a/testdata/new.txt")))
	j, err = open()
	require.NoError(t, err)
	require.Len(t, j.had, 1)
	put("a/a.go", "package a // longer")
	require.ErrorContains(t, j.write(record{}), "a/a.go has changed")
	require.NoError(t, j.file.Close())
}
