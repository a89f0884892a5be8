package main

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A wrong command line says what is wrong and writes nothing.
func TestWrongCommandLines(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results.jsonl")
	for want, args := range map[string][]string{
		"nothing is asked for":        nil,
		"-plan is -5":                 {"-plan", "-5"},
		"-go is 99999999, want 0 to ": {"-go", "99999999"},
		`invalid value "x"`:           {"-msl", "x"},
		`"more" is no flag`:           {"-plan", "1", "more"},
	} {
		err := run(context.Background(), append([]string{"-results", results}, args...))
		require.ErrorIs(t, err, errUsage, want)
		require.ErrorContains(t, err, want)
		require.NoFileExists(t, results)
	}
}

// A program that cannot be run has killed nothing.
func TestWithoutGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, _, _, err := goTool(context.Background(), ".", []string{"test"}, 0, 0)
	require.Error(t, err)
}
