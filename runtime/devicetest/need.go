package devicetest

import (
	"errors"
	"testing"

	"foundry/runtime/child"
)

// Need skips the test where err says that a compiler, a GPU or a tool is absent. Any
// other error fails it.
func Need(t testing.TB, err error) {
	t.Helper()
	if absent(t, err) {
		t.Skip(err)
	}
}

// Have is false where err says that something is absent, for a test that goes on
// without it. Any other error fails the test.
func Have(t testing.TB, err error) bool {
	t.Helper()
	if absent(t, err) {
		t.Logf("without: %v", err)
		return false
	}
	return true
}

func absent(t testing.TB, err error) bool {
	t.Helper()
	if err != nil && !errors.Is(err, child.ErrAbsent) {
		t.Fatal(err)
	}
	return err != nil
}
