package cost

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
)

// regionOf is the work of the nodes of a text, as one region or the one node.
func regionOf(t *testing.T, x *target.Target, decl, text, results string) *task.Region {
	t.Helper()
	g, err := ir.Parse("g.fir", fmt.Sprintf("graph @g (T=1..8, P=0..40, S<=64) {\n%s\n%s\nreturn %s\n}", decl, text, results))
	require.NoError(t, err)
	n := g.Nodes()[0]
	if len(g.Nodes()) > 1 {
		n, err = g.FusedNode(g.Nodes(), "x", "x")
		require.NoError(t, err)
	}
	r, err := task.In(n, g.Bounds, x)
	require.NoError(t, err)
	return r
}

// limited are regions whose buffers and threadgroup memory are counted by hand.
var limited = []struct {
	name, decl, text, results string
	slots                     int // operands, results, the step, ranges, whether ids are refused, and what lies between kernels
	bytes                     int // of threadgroup memory
	threads                   int
}{
	{"product of rows", "%x = input \"x\" : f32[1, 256]\n%w = weight \"w\" : f16[64, 256]", "%y = matmul_nt %x, %w", "y=%y", 3, 0, 128}, // 32 simdgroups of two rows, eight a core
	{"product of any rows", "%x = input \"x\" : f32[T, 256]\n%w = weight \"w\" : f16[96, 256]", "%y = matmul_nt %x, %w", "y=%y", 4, 0, 128},
	{"normed product", "%x = input \"x\" : f32[T, 256]\n%g = weight \"g\" : f32[256]\n%w = weight \"w\" : f16[96, 256]", "%h = rms_norm %x, %g {eps=1e-06}\n%y = matmul_nt %h, %w", "y=%y", 5, 4*1024 + 64, 128},
	{"two results", "%x = input \"x\" : f32[T, 256]\n%w = weight \"w\" : f16[96, 256]", "%y = matmul_nt %x, %w\n%z = silu %y", "y=%y, z=%z", 5, 0, 128},
	{"a product and its best", "%x = input \"x\" : f32[1, 256]\n%w = weight \"w\" : f16[960, 256]", "%h = matmul_nt %x, %w\n%y = argmax %h", "y=%y", 3 + 2, 2 * 32, 256},
	{"embedding", "%i = input \"i\" : i32[T]\n%w = weight \"w\" : f16[100, 64]", "%y = embedding %i, %w", "y=%y", 3 + 1 + 1, 0, 256},
	{"embedding of one", "%i = input \"i\" : i32[1]\n%w = weight \"w\" : f16[100, 64]", "%y = embedding %i, %w", "y=%y", 3 + 1, 0, 256},
	{"cache of halves", "%k = state \"k\" : f16[2, 64, 32]\n%x = input \"x\" : f32[2, T, 32]", "%y = kv_write %k, %x {start=P}", "k=%y", 2 + 1 + 1, 0, 256},
	{"cache of f32", "%k = state \"k\" : f32[2, 64, 32]\n%x = input \"x\" : f32[2, T, 32]", "%y = kv_write %k, %x {start=P}", "k=%y", 2 + 1, 0, 256},
	{"an operand for each place", "%x = input \"x\" : f32[8, 32]", "%y = mul %x, %x", "y=%y", 3, 0, 256},
	{"norm", "%x = input \"x\" : f32[8, 256]\n%g = weight \"g\" : f32[256]", "%y = rms_norm %x, %g {eps=1e-06}", "y=%y", 3, 16, 64},
	{"softmax", "%x = input \"x\" : f32[8, 1000]", "%y = softmax %x {causal=false, start=0}", "y=%y", 2 + 2, 32, 128}, // eight rows of 128 threads fill the machine
	{"argmax", "%x = input \"x\" : f32[1, 10000]", "%y = argmax %x", "y=%y", 2 + 2, 2 * 128, 1024},
	{"scores", "%q = input \"q\" : f32[4, T, 64]\n%k = input \"k\" : f32[4, 100, 64]", "%y = bmm_nt %q, %k {scale=1}", "y=%y", 4, 0, 64},
	{"weighted", "%w = input \"w\" : f32[4, T, 100]\n%v = input \"v\" : f32[4, 100, 64]", "%y = bmm_nn %w, %v", "y=%y", 4, 1024, 256},
	{"attention", "%q = input \"q\" : f32[4, T, 64]\n%k = state \"k\" : f16[4, 100, 64]\n%v = state \"v\" : f16[4, 100, 64]",
		"%s = bmm_nt %q, %k {scale=1}\n%w = softmax %s {causal=false, start=0}\n%y = bmm_nn %w, %v", "y=%y", 5, 4 * 2 * 66, 64},
	{"rotation", "%x = input \"x\" : f32[4, T, 64]\n%f = weight \"f\" : f32[32]", "%y = rope %x, %f {start=P}", "y=%y", 4, 2 * 128, 32},
}

// A kernel needs what is counted here and no more: where a target has so much it gets one,
// where it has one less the reason is named.
func TestLimitsOfATarget(t *testing.T) {
	for _, c := range limited {
		with := func(change func(*target.Limits)) error {
			x := plain()
			change(&x.Limits)
			_, err := Choose(regionOf(t, x, c.decl, c.text, c.results), x)
			return err
		}
		require.NoError(t, with(func(l *target.Limits) { l.Slots = c.slots }), c.name)
		require.EqualError(t, with(func(l *target.Limits) { l.Slots = c.slots - 1 }), fmt.Sprintf("%d buffer slots > %d", c.slots, c.slots-1), c.name)
		k, err := Choose(regionOf(t, plain(), c.decl, c.text, c.results), plain())
		require.NoError(t, err)
		groups := groupsOf(regionOf(t, plain(), c.decl, c.text, c.results), k, plain())
		require.NotEmpty(t, groups, c.name)
		require.Equal(t, group{c.threads, c.bytes}, groups[0], c.name)
		r, x := regionOf(t, plain(), c.decl, c.text, c.results), plain()
		x.Limits.Threads = c.threads - 1
		require.EqualError(t, checkLimits(r, k, x), fmt.Sprintf("%d threads a threadgroup > %d", c.threads, c.threads-1), c.name)
		if x = plain(); c.bytes > 0 {
			x.Limits.ThreadgroupBytes = c.bytes
			require.NoError(t, checkLimits(r, k, x), c.name)
			x.Limits.ThreadgroupBytes = c.bytes - 1
			require.EqualError(t, checkLimits(r, k, x), fmt.Sprintf("threadgroup memory %d > %d", c.bytes, c.bytes-1), c.name)
		}
	}
}

// Formats without a kernel are refused by name, of weights, of what a norm reads in blocks
// and of caches.
func TestFormatsOfATarget(t *testing.T) {
	x := plain()
	x.Limits.Weights, x.Limits.Cache = []string{"f16"}, []string{"f32"}
	for want, c := range map[string][3]string{
		"no kernel for q8_0 weights, only for f16": {"%x = input \"x\" : f32[T, 256]\n%w = weight \"w\" : q8_0[96, 256]", "%y = matmul_nt %x, %w", "y=%y"},
		"no kernel for q4_k weights, only for f16": {"%i = input \"i\" : i32[T]\n%w = weight \"w\" : q4_k[96, 256]", "%y = embedding %i, %w", "y=%y"},
		"no kernel for a f16 cache, only for f32":  {"%k = state \"k\" : f16[2, 64, 32]\n%x = input \"x\" : f32[2, T, 32]", "%y = kv_write %k, %x {start=P}", "k=%y"},
	} {
		_, err := Choose(regionOf(t, x, c[0], c[1], c[2]), x)
		require.EqualError(t, err, want)
	}
}

// A product behind what is no attention, or behind attention of whose keys no part can be had, says why.
func TestProductsBehindNoAttention(t *testing.T) {
	const decl = "%q = input \"q\" : f32[4, 1, 64]\n%k = input \"k\" : f32[4, 100, 64]\n%v = input \"v\" : f32[4, 100, 64]\n%w = weight \"w\" : f16[32, {N}]"
	const behind = "%s = bmm_nt %q, {K} {scale=1}\n%p = softmax %s {causal=false, start=0}\n%a = bmm_nn %p, %v\n%r = reshape %a {shape=[1, 256]}\n%y = matmul_nt %r, %w"
	for _, c := range []struct{ text, length, want string }{
		{"%s = bmm_nt %q, %k {scale=1}\n%r = reshape %s {shape=[1, 400]}\n%y = matmul_nt %r, %w", "400", "attention wants bmm_nt, softmax and bmm_nn in a chain"},
		{strings.ReplaceAll(behind, "{K}", "%k"), "256", ""},
		{"%c = silu %k\n" + strings.ReplaceAll(behind, "{K}", "%c"), "256", "keys or values of attention are computed in the region"},
	} {
		_, err := Choose(regionOf(t, plain(), strings.ReplaceAll(decl, "{N}", c.length), c.text, "y=%y"), plain())
		if c.want == "" {
			require.NoError(t, err)
		} else {
			require.EqualError(t, err, c.want)
		}
	}
}

// A norm of rows of any length has no kernel, and is counted as one of rows as long as they are in the run.
func TestNormsWithoutAKernel(t *testing.T) {
	g, err := ir.Parse("g.fir", "graph @g (T=1..8, P=0..400, S<=512) {\n%x = input \"x\" : f32[T, S]\n%w = input \"w\" : f32[S]\n%y = rms_norm %x, %w {eps=1e-6}\nreturn y=%y\n}")
	require.NoError(t, err)
	for p, as := range map[int64]kernel.RowNorm{397: {Length: 400, Width: 4}, 399: {Length: 402, Width: 1}, 7: {Length: 10, Width: 1}} {
		run := Run{Target: plain(), Choices: NewChoices(plain(), nil), Bounds: g.Bounds, Env: sym.Env{T: 3, P: p}}
		require.Error(t, run.Choices.Lowerable(g.Nodes()[0]))
		ks := run.Kernels(g.Nodes()[0])
		require.Len(t, ks, 1)
		require.EqualValues(t, as.Threads(), ks[0].Threads, "%d", p)
		require.Equal(t, as.Bytes(), ks[0].Shared)
		require.EqualValues(t, 3, ks[0].Groups)
	}
}
