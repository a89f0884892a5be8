package metal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/lower/metal"
	"foundry/lower/plan"
)

// outline makes one region of all nodes.
func outline(t *testing.T, g *ir.Graph) *ir.Node {
	t.Helper()
	n, err := g.Outline(g.Nodes(), "region", "region")
	require.NoError(t, err)
	return n
}

// sumOf adds count inputs.
func sumOf(count int) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, "%%%d = input \"x%d\" : f32[8]\n", i, i)
	}
	last := 0
	for i := 1; i < count; i++ {
		fmt.Fprintf(&b, "%%%d = add %%%d, %%%d : f32[8]\n", count+i-1, last, i)
		last = count + i - 1
	}
	fmt.Fprintf(&b, "return y=%%%d", last)
	return b.String()
}

// Check gives one reason, and Compile the same with the node's name.
func TestCheck(t *testing.T) {
	const head = "%0 = input \"x\" : f32[T, 64]\n%1 = weight \"w\" : f16[32, 64]\n%2 = weight \"g\" : f32[64]\n"
	for body, want := range map[string]string{
		sumOf(30): "",
		sumOf(32): "33 buffer slots > 31",
		head + "%3 = rms_norm %0, %2 {eps=1e-6} : f32[T, 64]\n%4 = matmul_nt %3, %1 : f32[T, 32]\nreturn y=%4":                        "",
		head + "%3 = rms_norm %0, %2 {eps=1e-6} : f32[T, 64]\n%4 = matmul_nt %3, %1 : f32[T, 32]\nreturn y=%4, z=%3":                  "the norm is used outside the region",
		head + "%3 = matmul_nt %0, %1 : f32[T, 32]\n%4 = silu %0 : f32[T, 64]\n%5 = matmul_nt %4, %1 : f32[T, 32]\nreturn y=%5, z=%3": "matrix products of different operands do not share a kernel",
		head + "%3 = matmul_nt %0, %1 : f32[T, 32]\n%4 = softmax %3 {causal=false, start=0} : f32[T, 32]\nreturn y=%4":                "softmax cannot be computed an element at a time here",
		head + "%3 = silu %0 : f32[T, 64]\n%4 = softmax %3 {causal=false, start=0} : f32[T, 64]\nreturn y=%4":                         "softmax shares a kernel only within attention",
		head + "%3 = rms_norm %0, %2 {eps=1e-6} : f32[T, 64]\n%4 = rms_norm %3, %2 {eps=1e-6} : f32[T, 64]\nreturn y=%4":              "2 norms do not share a kernel",
		"%0 = input \"x\" : f32[T, 9000]\n%1 = silu %0 : f32[T, 9000]\n%2 = argmax %1 : i32[T]\nreturn y=%2":                          "argmax shares no kernel with silu",
	} {
		g := parse(t, "T=1..9, P=0..8, S<=16", body)
		n := outline(t, g)
		err := metal.NewChoices(m3Pro(t)).Lowerable(n)
		_, compileErr := metal.Compile([]metal.Entry{{Name: "g", Graph: g}}, metal.Options{
			Target: m3Pro(t), Model: plan.Model{Context: 16}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16},
		})
		if want == "" {
			require.NoError(t, err, body)
			require.NoError(t, compileErr, body)
			continue
		}
		require.EqualError(t, err, want, body)
		require.EqualError(t, compileErr, `entry g: region "region": `+want)
	}
}

// A weight that is a view without rows beside each other has no kernel, and who asks is told:
// passes and lowering look at operands as they lie.
func TestCheckOfViews(t *testing.T) {
	g := parse(t, "T=1..9, P=0..8, S<=16", "%0 = input \"x\" : f32[T, 64]\n%1 = weight \"w\" : f16[32, 128]\n%2 = slice %1 {axis=1, start=0, size=64} : f16[32, 64]\n%3 = matmul_nt %0, %2 : f32[T, 32]\nreturn y=%3")
	const want = "the weight of a matrix product is a view that is not row-major"
	require.EqualError(t, metal.NewChoices(m3Pro(t)).Lowerable(g.Nodes()[1]), want)
	_, err := metal.Compile([]metal.Entry{{Name: "g", Graph: g}}, metal.Options{Target: m3Pro(t), Model: plan.Model{Context: 16}})
	require.ErrorContains(t, err, want)
}

// What a node can get is what fits its operands as they lie: rows whose view says another
// distance are read one element at a time.
func TestCandidatesFit(t *testing.T) {
	g := parse(t, "T=1..4, P=0..15, S<=16", "%0 = input \"x\" : f32[1, 4]\n%1 = reshape %0 {shape=[1,1,4]} : f32[1, 1, 4]\n%2 = bmm_nt %1, %1 {scale=0.3} : f32[1, 1, 1]\nreturn y=%2")
	pinned := choices(g, m3Pro(t))
	require.NotEmpty(t, pinned)
	for _, c := range pinned {
		_, err := metal.Compile([]metal.Entry{{Name: "g", Graph: c}}, metal.Options{Target: m3Pro(t), Model: plan.Model{Context: 16}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
		require.NoError(t, err, c.String())
	}
}

// Memory that a threadgroup has not is a reason too, with both numbers.
func TestCheckLimits(t *testing.T) {
	x := m3Pro(t)
	x.Limits.ThreadgroupBytes = 8
	g := parse(t, "T=1..33, P=0..8, S<=64", "%0 = input \"x\" : f32[T, 640]\n%1 = softmax %0 {causal=false, start=0} : f32[T, 640]\nreturn y=%1")
	require.ErrorContains(t, metal.NewChoices(x).Lowerable(g.Nodes()[0]), "threadgroup memory")
	require.NoError(t, metal.NewChoices(m3Pro(t)).Lowerable(g.Nodes()[0]))
	x = m3Pro(t)
	x.Limits.Threads = 128
	require.EqualError(t, metal.NewChoices(x).Lowerable(parse(t, "T=1..2, P=0..8, S<=16", sumOf(2)).Nodes()[0]), "256 threads a threadgroup > 128")
}
