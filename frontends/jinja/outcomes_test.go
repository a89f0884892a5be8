package jinja

import (
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"foundry/tests/mutate"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

// What becomes of the goldens' templates where a few words of each are others is kept, text
// or error. What jinja2 makes of them nobody has asked: who changes this reads the difference.
func TestNearlyTemplates(t *testing.T) {
	values, g := readGoldens(t)
	words := []string{"loop", "not", "is", "in", "if", "else", "defined", "none", "and", "or", "length", "first", "tojson", "list", "join", "n", "s", "d", "people", "{%-", "-%}", "[::-1]", "|"}
	limits := DefaultLimits
	limits.Bytes, limits.Steps, limits.Time = 1<<20, 1<<20, time.Minute
	have := mutate.Outcomes(2*len(g.Cases), func(i int, c *mutate.Choices) string {
		tmpl, err := Parse(mutate.Text(g.Cases[i/2].Template, words, c))
		if err == nil {
			var text string
			if text, err = tmpl.Render(values, goldenTime, limits); err == nil {
				return "text: " + text
			}
		}
		return err.Error()
	})
	require.NoError(t, mutate.Keep("testdata/nearly.txt", have, *update))
}
