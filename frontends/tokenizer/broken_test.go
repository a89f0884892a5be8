package tokenizer

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Bytes that could begin a character end where no character goes on: behind the first byte
// of overlong forms, surrogates and what lies above U+10FFFF.
func TestBrokenPrefixes(t *testing.T) {
	for b, want := range map[string]struct {
		n    int
		open bool
	}{
		"\xc1": {1, false}, "\xc2": {1, true}, "\xdf": {1, true}, "\xc2A": {1, false},
		"\xe0\x9f": {1, false}, "\xe0\xa0": {2, true}, "\xe1\x80A": {2, false}, "\xed\x9f": {2, true}, "\xed\xa0\x80": {1, false}, "\xed\x80\xc0": {2, false}, "\xef": {1, true},
		"\xf0\x8f": {1, false}, "\xf0\x90": {2, true}, "\xf4\x8f": {2, true}, "\xf4\x90": {1, false}, "\xf1\xbf\xbf": {3, true}, "\xf5": {1, false}, "\x80": {1, false},
	} {
		n, open := brokenPrefix(b)
		require.Equal(t, want.n, n, "%q", b)
		require.Equal(t, want.open, open, "%q", b)
	}
}
