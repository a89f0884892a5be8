package passes

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is wrong with a line of a pattern is said with the word that is wrong.
func TestWhatIsWrongWithALine(t *testing.T) {
	for text, want := range map[string]string{
		"@a = silu x {eps}":              `attr test "eps", want attr=value`,
		"@a = silu x {epps=1}":           `unknown attr "epps"; did you mean "eps"?`,
		"@a = silu x {eps=1}":            `silu has no attr eps`,
		"@a = kv_rearrange x {heads=-x}": `attr heads: want an integer, have "-x", or a word`,
		"@a = silu x:odd":                `unknown operand test "odd"`,
		"@a silu x":                      `want [?group] name = op operands`,
		"?g @a =":                        `want [?group] name = op operands`,
		"@a = sillu x":                   `unknown op "sillu"; did you mean "silu"?`,
		"@a = silu|sillu x":              `unknown op "sillu"; did you mean "silu"?`,
	} {
		_, err := parseTemplate("@b = silu y\n" + text)
		require.EqualError(t, err, `"`+text+`": `+want)
	}
}
