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

// A built-in is looked at where its name stands alone, not as a part of another and not as a
// member; where it stands with members only those axes count.
func TestLooksAtBuiltins(t *testing.T) {
	looks := func(text string) (at [3]bool, known bool) {
		k := &Kernel{Builtins: []Builtin{ThreadgroupPosition}, Source: "kernel void k(uint3 group) {" + text + "}"}
		return k.looksAt(ThreadgroupPosition)
	}
	for _, c := range "09azAZ_" {
		for _, text := range []string{"group" + string(c), string(c) + "group"} {
			_, known := looks("x = " + text + ";")
			require.False(t, known, text)
		}
	}
	for _, c := range "/:@[`{ ,-" { // beside them in the table of characters, and others
		for _, text := range []string{"group" + string(c), string(c) + "group"} {
			at, known := looks("x = " + text + ";")
			require.True(t, known, text)
			require.Equal(t, [3]bool{true, true, true}, at, text)
		}
	}
	for text, want := range map[string][3]bool{"group.x": {true}, "group.y + group.z": {false, true, true}, "group.xz": {true, false, true}, "(group.y)": {false, true}} {
		at, known := looks("x = " + text + ";")
		require.True(t, known, text)
		require.Equal(t, want, at, text)
	}
	_, known := looks("x = a.group;")
	require.False(t, known, "a member")
	at, known := (&Kernel{}).looksAt(ThreadgroupPosition)
	require.True(t, known)
	require.Zero(t, at, "no argument")
}
