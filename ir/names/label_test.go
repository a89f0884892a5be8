package names

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What stands behind the number of a layer is kept; what only looks like one stays.
func TestInLayer(t *testing.T) {
	for label, want := range map[string]string{
		"layers.0.q_proj":             "q_proj",
		"model.layers.12.mlp.up_proj": "mlp.up_proj",
		"layers.7.":                   "",
		"layers..q":                   "layers..q",
		"layers.7":                    "layers.7",
		"layers.7x.q":                 "layers.7x.q",
		"players.7.q":                 "players.7.q",
		"x.layers.7.layers.8.q":       "layers.8.q",
		"final_norm":                  "final_norm",
		"":                            "",
	} {
		require.Equal(t, want, InLayer(label), "%q", label)
	}
}

// Strings of a line are plain; what else is printed is not touched.
func TestLine(t *testing.T) {
	var b strings.Builder
	Line(&b, "%s %d %v|", "a\nb\x1b[0m", 7, []string{"c\nd"})
	require.Equal(t, Plain("a\nb\x1b[0m")+" 7 [c\nd]|", b.String())
	require.NotContains(t, Plain("a\nb\x1b[0m"), "\n")
}
