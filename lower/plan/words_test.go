package plan

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A kernel's text is cut where its own function begins; a text of another name has no parts.
func TestCutStages(t *testing.T) {
	k := &Kernel{Name: "k"}
	stages, own, ok := k.CutStages("// k: what it is\nstage 1\nstage 2" + FunctionBanner + "kernel\n")
	require.True(t, ok)
	require.Equal(t, []string{"stage 1\nstage 2", "kernel\n"}, []string{stages, own})
	for _, text := range []string{"// other: x\na" + FunctionBanner + "b", "// k: x\na", ""} {
		_, _, ok := k.CutStages(text)
		require.False(t, ok)
	}
}

func TestPhrasesOfMains(t *testing.T) {
	for m, p := range phrases {
		require.Equal(t, p, m.Phrase())
	}
	require.Equal(t, "a b c", Main("a-b-c").Phrase())
}
