package names

import (
	"testing"

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
