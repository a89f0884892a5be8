package bench

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseVariants(t *testing.T) {
	ladder, err := ParseVariants("ladder")
	require.NoError(t, err)
	require.Equal(t, "unfused", ladder[0].Name)
	require.Equal(t, "fewest", ladder[len(ladder)-1].Name)
	require.Greater(t, len(ladder), 5)
	_, err = ParseVariants("ladder,fewst")
	require.ErrorContains(t, err, `did you mean "fewest"?`)
	_, err = ParseVariants(" , ")
	require.ErrorContains(t, err, "empty")

	own, err := ParseVariantFile("v.txt", "# mine\nnone\n\nmine = canonicalize, legalize\n")
	require.NoError(t, err)
	require.Equal(t, Variant{Name: "mine", Passes: "canonicalize,legalize"}, own[1])
	require.Equal(t, ladder[0], own[0], "an alias is a row of the name that it means")
	_, err = ParseVariantFile("v.txt", "none\nmine = nothing-such\n")
	require.ErrorContains(t, err, `v.txt:2: pipeline: unknown pass "nothing-such"`)
}
