package tokenizer

import (
	"flag"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/tests/mutate"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

// What becomes of files of which a few members are others is kept: the ids of a text, or
// the error.
func TestNearlyTokenizers(t *testing.T) {
	forms := nearlyTokenizers(t)
	have := mutate.Outcomes(300, func(i int, c *mutate.Choices) string {
		tok, err := parse(forms[i%len(forms)].Text(c))
		if err != nil {
			return err.Error()
		}
		ids, err := tok.Encode("<|end|>ab  abb é e\u0301 <tool>12\xff")
		if err != nil {
			return err.Error()
		}
		text, err := tok.Decode(ids)
		return fmt.Sprint(ids, text, err)
	})
	require.NoError(t, mutate.Keep("testdata/nearly.txt", have, *update))
}
