package passes_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/passes"
)

// A pass counts what it rewrites, which is when the graph is verified and looked at
// anew, and counts nothing where it leaves the graph as it is.
func TestRewritesAreCounted(t *testing.T) {
	for _, c := range []struct {
		pass, graph string
		want        int
	}{
		{"canonicalize", `%y = reshape %a {shape=[T,64]}; return y=%y`, 1},
		{"canonicalize", `%x = reshape %a {shape=[T,8,8]}; %y = reshape %x {shape=[T,4,16]}; return x=%x, y=%y`, 1},
		{"canonicalize", `%x = transpose %k {perm=[1,2,0,0]}; %y = transpose %x {perm=[1,2,0,0]}; return x=%x, y=%y`, 1},
		{"canonicalize", `%y = add %a, %b; return y=%y`, 1},
		{"canonicalize", `%y = add %b, %a; return y=%y`, 0},
		{"canonicalize", `%y = add %a, %a; return y=%y`, 0},
		{"canonicalize", `%x = silu %a; %y = add %x, %x; return y=%y`, 0},
		{"cse", `%x = silu %a; %z = silu %a; %y = add %x, %z; return y=%y`, 1},
		{"cse", `%x = silu %a; %z = silu %b; %y = add %x, %z; return y=%y`, 0},
		{"dce", `%x = silu %a; %z = silu %x; %y = silu %b; return y=%y`, 2},
		{"dce", `%y = silu %b; return y=%y`, 0},
		{"drop-repeat-kv", `%r = repeat_kv %k {times=2}; %y = bmm_nt %q, %r; return y=%y`, 1},
		{"fuse-swiglu", `%s = silu %a; %y = mul %s, %b; return y=%y`, 1},
		{"fuse-swiglu", `%s = silu %a; %y = add %s, %b; return y=%y`, 0},
		{"split-norm", `%p = matmul_nt %a, %w; %x = add %p, %b; %h = rms_norm %x, %g {eps=1e-06}; %y = matmul_nt %h, %w; return y=%y`, 1},
		{"split-norm", `%x = add %b, %a; %h = rms_norm %x, %g {eps=1e-06}; %y = matmul_nt %h, %w; return y=%y`, 0},
	} {
		g, err := ir.Parse("rewrites.fir", `graph @g (T=1..4, P=0..39, S<=40) {
			%a = input "a" : f32[T, 64]
			%b = input "b" : f32[T, 64]
			%k = input "k" : f32[8, 8, 8]
			%q = input "q" : f32[16, T, 8]
			%w = weight "w" : f16[64, 64]
			%g = weight "g" : f32[64]
			`+strings.ReplaceAll(c.graph, ";", "\n")+"\n}\n")
		require.NoError(t, err, c.graph)
		var trace []passes.Step
		require.NoError(t, parse(t, c.pass).Run(g, &passes.Context{Trace: &trace}), c.graph)
		require.Equal(t, c.want, trace[0].Rewrites, "%s: %s", c.pass, c.graph)
	}
}
