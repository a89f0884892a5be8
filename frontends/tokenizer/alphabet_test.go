package tokenizer

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Each byte is spelt by one printable character, no two by the same, and comes back; a token
// with any other character stands for itself.
func TestAlphabetOfBytes(t *testing.T) {
	seen := map[rune]bool{}
	for b, char := range spelling() {
		require.False(t, seen[char], "%q", char)
		seen[char] = true
		require.Equal(t, string([]byte{byte(b)}), unspell(string(char)), "byte %d", b)
		require.Equal(t, string([]byte{'a', byte(b), 'z'}), unspell("a"+string(char)+"z"), "byte %d", b)
	}
	require.Equal(t, 'Ā', spelling()[0], "GPT-2's alphabet: the first byte that is not printable")
	require.Equal(t, 'Ġ', spelling()[' '])
	require.Equal(t, 'Ń', spelling()[0xad], "the last of the 68")
	for _, token := range []string{"a b", "\x00", "ń", "Ņ", "\u00ad", "日本", "aĀ😀", string(rune(len(byteOf)))} {
		require.Equal(t, token, unspell(token))
	}
}
