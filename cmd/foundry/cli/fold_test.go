package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFold(t *testing.T) {
	require.Equal(t, "short", fold("short", 30))
	require.Equal(t, "  matched  one two three four\n           five six", fold("  matched  one two three four five six", 30))
	require.Equal(t, "one two three four five six\n  seven eight", fold("one two three four five six seven eight", 30))
	require.Equal(t, strings.Repeat("x", 40), fold(strings.Repeat("x", 40), 30))
	var out bytes.Buffer
	f := &folding{to: &out, width: 30}
	for _, part := range []string{"one two three four ", "five six seven\nrest", "\n"} {
		_, err := f.Write([]byte(part))
		require.NoError(t, err)
	}
	require.Equal(t, "one two three four five six\n  seven\nrest\n", out.String())
}

// Parts of a table fit, hold every column, and the first one each.
func TestTableInParts(t *testing.T) {
	table := newTable("name", "first number", "second number", "third number", "why").alignRight("first number")
	table.row("a", 1, 2, 3, "a long reason that goes on and on and on for some time")
	require.Len(t, table.parts(0), 1)
	parts := table.parts(48)
	require.Len(t, parts, 2)
	seen := map[int]bool{}
	for _, p := range parts {
		require.Equal(t, 0, p.columns[0])
		for _, c := range p.columns {
			seen[c] = true
		}
		for _, line := range strings.Split(table.writer(p.columns, p.last).Render(), "\n") {
			require.LessOrEqual(t, len(strings.TrimRight(line, " ")), 48, line)
		}
	}
	require.Len(t, seen, 5)
}
