package names

import (
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"layers.0.q":        "layers.0.q",
		"für \u2264 \ufffd": "für \u2264 \ufffd",
		"\x1b[2Jx":          `\x1b[2Jx`,
		"a\nfoundry: fine":  `a\nfoundry: fine`,
		"a\r\t\a":           `a\r\t\a`,
		"\u009b31m":         `\u009b31m`,
		"\x9b31m":           `\x9b31m`,
		"\u202eabc":         `\u202eabc`,
		"\x7f":              `\x7f`,
	} {
		require.Equal(t, want, Plain(text))
	}
	require.Equal(t, "a\n\tb\\x1b", PlainText("a\n\tb\x1b"))
}

// Of the characters that turn the direction of writing all are spelled, and none beside them.
func TestTurnsOfDirection(t *testing.T) {
	for r := rune(0x2000); r < 0x2100; r++ {
		spelled := Plain(string(r)) != string(r)
		turns := r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 // Unicode's LRE to RLO, LRI to PDI
		require.Equal(t, turns, unicode.Is(unicode.Bidi_Control, r) && r != 0x200e && r != 0x200f)
		if unicode.IsPrint(r) || turns {
			require.Equal(t, turns, spelled, "%x", r)
		}
	}
}
