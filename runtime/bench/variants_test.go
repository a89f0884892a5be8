package bench

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/passes"
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

	names := func(list string) (out []string) {
		all, err := ParseVariants(list)
		require.NoError(t, err)
		for _, v := range all {
			out = append(out, v.Name)
		}
		return out
	}
	require.Equal(t, []string{"search"}, names("search"))
	require.Equal(t, []string{"fewest", "search", "unfused"}, names(" fewest ,search,, unfused,fewest"), "each once, where it comes first")
	left := names("leave-one-out")
	require.Equal(t, append([]string{"fewest"}, passes.LeaveOneOut()...), left)
	pairs, whole, forms := names("pairs"), names("all"), names("forms")
	require.True(t, 10 < len(pairs) && len(pairs) < len(whole) && 3*len(whole) < len(forms), "%d, %d, %d", len(pairs), len(whole), len(forms))
	require.Subset(t, whole[:50], pairs[:5])
	all, err := layerSets()
	require.NoError(t, err)
	two, complete := 0, 0
	for _, s := range all {
		if s.Whole {
			complete++
			if len(s.Names) <= 2 {
				two++
			}
		}
	}
	require.Equal(t, []int{two, complete, len(all)}, []int{len(pairs), len(whole), len(forms)})
	split := WithCommandBuffers(ladder[:2], []int{0, 3})
	require.Equal(t, []string{"unfused/buffers=auto", "unfused/buffers=3"}, []string{split[0].Name, split[1].Name})
	require.Equal(t, []int{0, 3, 0, 3}, []int{split[0].CommandBuffers, split[1].CommandBuffers, split[2].CommandBuffers, split[3].CommandBuffers})

	own, err := ParseVariantFile("v.txt", "# mine\nnone\n\nmine = canonicalize, legalize\n")
	require.NoError(t, err)
	require.Equal(t, Variant{Name: "mine", Passes: "canonicalize,legalize"}, own[1])
	require.Equal(t, ladder[0], own[0], "an alias is a row of the name that it means")
	_, err = ParseVariantFile("v.txt", "none\nmine = nothing-such\n")
	require.ErrorContains(t, err, `v.txt:2: pipeline: unknown pass "nothing-such"`)
}
