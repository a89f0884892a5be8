package passes

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
)

// Forms of a pattern are sought from the largest on, whichever groups stand first; of equal
// ones that with the earlier group. What is one operation is no form.
func TestFormsLargestFirst(t *testing.T) {
	p, err := (&Pattern{Name: "x", Text: "?one x = silu x\n?two x = silu x\n?two x = silu x\n?last x = silu x\n@x = softmax x"}).compile()
	require.NoError(t, err)
	var with [][]string
	sizes := []int{}
	for _, f := range p.forms {
		with, sizes = append(with, f.with), append(sizes, f.size())
	}
	require.Equal(t, []int{5, 4, 4, 3, 3, 2, 2}, sizes)
	require.Equal(t, [][]string{{"one", "two", "last"}, {"one", "two"}, {"two", "last"}, {"one", "last"}, {"two"}, {"one"}, {"last"}}, with)
}

// A graph that is not valid is said to be so behind the first pass, which may have changed nothing.
func TestGraphsThatAreNotValid(t *testing.T) {
	for _, text := range []string{"dce", "dce,cse", "canonicalize"} {
		g, err := ir.Parse("g.fir", "graph @g (T=1..4, P=0..3, S<=4) {\n  %x = input \"x\" : f32[T, 64]\n  %y = silu %x\n  return y=%y\n}")
		require.NoError(t, err)
		g.Bounds.TMin = 5
		p, err := Parse(text)
		require.NoError(t, err)
		require.EqualError(t, p.Run(g, &Context{}), p[0].Pass.Name+" left a graph that is not valid: graph @g: bounds {TMin:5 TMax:4 PMin:0 PMax:3 SMax:4} are empty")
	}
}
