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

func textsOf(r *task.Region, only string) (out []string) {
	for k := range Candidates(r, plain()) {
		if s := k.String(); strings.HasPrefix(s, only) {
			out = append(out, s)
		}
	}
	return out
}

// Of each kind of region the kernels that it can get on plain, in order.
func TestKernelsThatAreListed(t *testing.T) {
	const x, w = "%x = input \"x\" : f32[T, 256]\n", "%w = weight \"w\" : f16[96, 256]\n"
	product := regionOf(t, plain(), x+w, "%y = matmul_nt %x, %w", "y=%y")
	// Each width of loads that f16 has, one load on its way or all; then half or twice the
	// rows of a team, simdgroups that share them, and simdgroups. Of three sharing, and of
	// one simdgroup, there is none.
	want := []string{"per-team=2 teams=1 share=1 simdgroups=4 vectors=4 width=8 loads=32 held=32"}
	for _, width := range []int{8, 4, 1} {
		for _, loads := range []string{"loads=32 held=32", "loads=0 held=0", "loads=all held=32"} {
			if width < 8 || loads != "loads=32 held=32" {
				want = append(want, fmt.Sprintf("per-team=2 teams=1 share=1 simdgroups=4 vectors=4 width=%d %s", width, loads))
			}
		}
	}
	for _, d := range [][3]int{{4, 1, 4}, {1, 1, 4}, {2, 2, 4}, {2, 1, 8}, {2, 1, 2}, {4, 2, 4}, {2, 2, 8}} {
		want = append(want, fmt.Sprintf("per-team=%d teams=1 share=%d simdgroups=%d vectors=4 width=8 loads=32 held=32", d[0], d[1], d[2]))
	}
	for i := range want {
		want[i] = "rows " + want[i] + " segment=256 direct"
	}
	require.Equal(t, want, textsOf(product, "rows"))
	// Matrix units of four simdgroups, which take 32 rows or a multiple: for eight tokens 32
	// will do. Blocks of 64 columns of K are for operands that are copied.
	require.ElementsMatch(t, []string{
		"matrices 32x32x32 simdgroups=4x1 stages=4 ahead=2 narrowed", "matrices 32x64x32 simdgroups=4x1 stages=4 ahead=2 narrowed",
		"matrices 32x128x32 simdgroups=4x1 stages=3 ahead=2 narrowed", // a fourth place of 8 KiB has no room
		"matrices 32x32x16 simdgroups=4x1 stages=4 ahead=2 narrowed", "matrices 32x64x16 simdgroups=4x1 stages=4 ahead=2 narrowed",
		"matrices 32x128x16 simdgroups=4x1 stages=4 ahead=2 narrowed",
	}, textsOf(product, "matrices"))
	require.Len(t, textsOf(product, "tiles"), 8)

	for _, c := range []struct {
		name, decl, text, results string
		want                      []string
	}{
		{"elements of four, or one", "%a = input \"a\" : f32[T, 600]", "%y = silu %a", "y=%y", []string{"elements width=4", "elements width=1"}},
		{"rows that four do not divide", "%a = input \"a\" : f32[T, 601]", "%y = silu %a", "y=%y", []string{"elements width=1"}},
		{"blocks are read by four", "%i = input \"i\" : i32[T]\n%w = weight \"w\" : q8_0[100, 64]", "%y = embedding %i, %w", "y=%y", []string{"elements width=4"}},
		{"runs of squares", "%a = input \"a\" : f32[T, 64]", "%y = sum_squares %a {size=8}", "y=%y", []string{"elements width=1", "runs size=8"}},
		{"runs that lanes do not share evenly", "%a = input \"a\" : f32[T, 96]", "%y = sum_squares %a {size=12}", "y=%y", []string{"elements width=1"}},
		{"runs of two sizes", "%a = input \"a\" : f32[T, 96]", "%y = sum_squares %a {size=8}\n%z = sum_squares %a {size=4}", "y=%y, z=%z", []string{"elements width=1"}},
		{"runs beside what another row is made of", "%a = input \"a\" : f32[T, 96]\n%b = input \"b\" : f32[T, 48]", "%y = sum_squares %a {size=8}\n%z = silu %b", "y=%y, z=%z", []string{"elements width=1"}},
		{"norms", "%a = input \"a\" : f32[T, 600]\n%g = weight \"g\" : f32[600]", "%y = rms_norm %a, %g {eps=1e-06}", "y=%y", []string{"row-norm width=4", "row-norm width=1"}},
		{"norms of odd rows", "%a = input \"a\" : f32[T, 601]\n%g = weight \"g\" : f32[601]", "%y = rms_norm %a, %g {eps=1e-06}", "y=%y", []string{"row-norm width=1"}},
		{"scores", "%q = input \"q\" : f32[4, 2, 64]\n%k = input \"k\" : f32[4, 100, 64]", "%y = bmm_nt %q, %k {scale=1}", "y=%y", []string{"batched-elements width=4", "batched-elements width=1"}},
		{"scores of odd rows", "%q = input \"q\" : f32[4, 2, 63]\n%k = input \"k\" : f32[4, 100, 63]", "%y = bmm_nt %q, %k {scale=1}", "y=%y", []string{"batched-elements width=1"}},
		{"few best are found in one kernel", "%a = input \"a\" : f32[1, 10000]", "%y = argmax %a", "y=%y", []string{"argmax-row threads=1024", "argmax-parts parts=3"}},
		{"rotations of a position", "%x = input \"x\" : f32[4, T, 64]\n%f = weight \"f\" : f32[32]", "%y = rope %x, %f {start=P}", "y=%y",
			[]string{"positions width=4", "positions width=1", "elements width=4", "elements width=1"}},
		{"one row of softmax, and segments of it", "%a = input \"a\" : f32[100, 200]", "%y = softmax %a {causal=false, start=0}", "y=%y",
			[]string{"softmax-row simdgroups=1", "softmax-segments segment=128 simdgroups=1", "softmax-segments segment=256 simdgroups=1", "softmax-segments segment=512 simdgroups=1", "softmax-segments segment=1024 simdgroups=1"}},
	} {
		require.Equal(t, c.want, textsOf(regionOf(t, plain(), c.decl, c.text, c.results), ""), c.name)
	}
}

// What a pin takes, and what is said of one that takes nothing.
func TestPinsOfKernels(t *testing.T) {
	r := regionOf(t, plain(), "%a = input \"a\" : f32[T, 600]", "%y = silu %a", "y=%y")
	for pin, want := range map[kernel.Pin]string{"": "elements width=4", "elements": "elements width=4", "elements width=1": "elements width=1"} {
		r.Pin = pin
		k, err := Choose(r, plain())
		require.NoError(t, err)
		require.Equal(t, want, k.String(), "%q", pin)
	}
	r.Pin = "elements width=2"
	_, err := Choose(r, plain())
	require.EqualError(t, err, `kernel="elements width=2": none of its kernels has these words; there are elements width=4; elements width=1`)
	p := regionOf(t, plain(), "%x = input \"x\" : f32[T, 256]\n%w = weight \"w\" : f16[96, 256]\n", "%y = matmul_nt %x, %w", "y=%y")
	p.Pin = "tiles 1x1x1"
	_, err = Choose(p, plain())
	require.ErrorContains(t, err, fmt.Sprintf(" and %d more", len(textsOf(p, ""))-6))
	require.Equal(t, 6, strings.Count(err.Error(), ";"), "six of them")
	c := regionOf(t, plain(), "%l = input \"l\" : f32[1, 100]\n%p = input \"p\" : f32[1]", "%y = softmax %l {causal=false, start=0}\n%z = silu %y", "z=%z")
	c.Pin = "elements"
	_, err = Choose(c, plain())
	require.EqualError(t, err, `kernel="elements": there is one kernel for it, and nothing to choose`)
}

// Two pieces of work get one answer only where nothing that an answer hangs on differs.
func TestKeysOfWork(t *testing.T) {
	const decl = "%a = input \"a\" : f32[T, 64]\n%b = input \"b\" : f32[T, 64]"
	g, err := ir.Parse("g.fir", "graph @g (T=1..8, P=0..40, S<=64) {\n"+decl+"\n%y = add %a, %b\n%z = silu %y\nreturn z=%z\n}")
	require.NoError(t, err)
	n, err := g.FusedNode(g.Nodes(), "x", "x")
	require.NoError(t, err)
	work := func(change func(r *task.Region)) string {
		r, err := task.In(n, g.Bounds, plain())
		require.NoError(t, err)
		bounds := r.Graph.Bounds
		defer func() { r.Graph.Bounds = bounds }()
		change(r)
		return string(appendWork(nil, n, r))
	}
	seen := map[string]string{}
	same := work(func(*task.Region) {})
	require.Equal(t, same, work(func(*task.Region) {}))
	for name, change := range map[string]func(r *task.Region){
		"as it is":   func(*task.Region) {},
		"pin":        func(r *task.Region) { r.Pin = "elements" },
		"least rows": func(r *task.Region) { r.Graph.Bounds.TMin++ }, "most rows": func(r *task.Region) { r.Graph.Bounds.TMax++ },
		"first": func(r *task.Region) { r.Graph.Bounds.PMin++ }, "last": func(r *task.Region) { r.Graph.Bounds.PMax++ }, "context": func(r *task.Region) { r.Graph.Bounds.SMax++ },
		"fixed": func(r *task.Region) { r.Operands[0].Fixed = !r.Operands[0].Fixed }, "settled": func(r *task.Region) { r.Operands[0].Settled = !r.Operands[0].Settled },
		"planes": func(r *task.Region) { r.Operands[0].Planes = true }, "halves": func(r *task.Region) { r.Operands[0].Halves = true }, "scaled": func(r *task.Region) { r.Operands[0].Scaled = true },
		"halves of b": func(r *task.Region) { r.Operands[1].Halves = true },
		"offset":      func(r *task.Region) { r.Operands[0].Layout.Off.C = 1 }, "offset by P": func(r *task.Region) { r.Operands[0].Layout.Off.P = 1 }, "offset by T": func(r *task.Region) { r.Operands[0].Layout.Off.T = 1 },
		"offset by TP": func(r *task.Region) { r.Operands[0].Layout.Off.TP = 1 }, "offset by TT": func(r *task.Region) { r.Operands[0].Layout.Off.TT = 1 },
		"stride": func(r *task.Region) { r.Operands[0].Layout.Stride[0].C++ }, "stride of columns": func(r *task.Region) { r.Operands[0].Layout.Stride[1].C++ },
		"kept": func(r *task.Region) { r.Kept = make([]task.Kept, 1) }, "kept as halves": func(r *task.Region) { r.Kept = []task.Kept{{Halves: true}} }, "kept scaled": func(r *task.Region) { r.Kept = []task.Kept{{Scaled: true}} },
		"bounded":   func(r *task.Region) { r.Unbounded = func(*ir.Value) bool { return false } },
		"unbounded": func(r *task.Region) { r.Unbounded = func(v *ir.Value) bool { return v == r.Graph.Params[0] } },
		"unbounded result": func(r *task.Region) {
			r.Unbounded = func(v *ir.Value) bool { return v == r.Graph.Nodes()[0].Results[0] }
		},
	} {
		k := work(change)
		require.Empty(t, seen[k], "%s has the key of %s", name, seen[k])
		seen[k] = name
	}
	c := NewChoices(plain(), nil)
	r, err := task.In(n, g.Bounds, plain())
	require.NoError(t, err)
	require.Same(t, c.Of(n, r), c.Of(n, r), "asked once")
}

// A value that tiles alone read is kept as the halves that they multiply; one that is
// returned, that something else reads, or that rows of weights read is not; weights that
// tiles expand leave it f32, narrowed.
func TestStorageOfValues(t *testing.T) {
	for _, c := range []struct {
		name, text, result string
		halves, narrowed   bool
	}{
		{"a product alone reads it", "%y = matmul_nt %h, %w", "y=%y", true, false},
		{"by a reshape", "%r = reshape %h {shape=[T, 256]}\n%y = matmul_nt %r, %w", "y=%y", true, false},
		{"weights that do not lie side by side", "%y = matmul_nt %h, %q", "y=%y", false, true},
		{"it is a result, too", "%y = matmul_nt %h, %w", "y=%y, h=%h", false, false},
		{"an add reads it, too", "%y = matmul_nt %h, %w\n%z = add %h, %h", "y=%y, z=%z", false, false},
		{"of two products one cannot copy: both narrow", "%y = matmul_nt %h, %w\n%z = matmul_nt %h, %q", "y=%y, z=%z", false, true},
		{"nobody reads it", "%y = silu %x", "y=%y", false, false},
	} {
		text := "graph @g (T=1..512, P=0..0, S<=512) {\n%x = input \"x\" : f32[T, 256]\n%w = weight \"w\" : f16[2048, 256]\n%q = weight \"q\" : q3_k[2048, 256]\n%h = silu %x\n" + c.text + "\nreturn " + c.result + "\n}"
		g, err := ir.Parse("g.fir", text)
		require.NoError(t, err)
		x := plain()
		x.TFlops, x.MatrixTFlops = 0.01, 0 // lanes so slow that products go to blocks, and weights not expanded once
		h := g.Nodes()[0].Results[0]
		s := StorageOf(g, NewChoices(x, nil), nil)
		require.Equal(t, c.halves, s.Halves(h), c.name)
		require.Equal(t, c.narrowed, s.Narrowed(h), c.name)
		saved, moved := sym.Poly{}, sym.Poly{T: 2 * 256 * 4}
		if c.halves {
			saved = sym.Poly{T: -2 * 256}
			moved = sym.Poly{T: 256*4 + 256*2}
		}
		require.Equal(t, saved, s.Saved(h), c.name)
		require.Equal(t, moved, s.Moved(g.Nodes()[0]), c.name)
		none := StorageOf(g, NewChoices(x, nil), func(v *ir.Value, n *ir.Node) bool { return n == nil && v == h })
		require.False(t, none.Halves(h) || none.Narrowed(h), "%s: without a bound", c.name)
	}
	var none *Storage
	require.False(t, none.Halves(nil) || none.Narrowed(nil))
}

// Of a graph with one layer, that layer three times: its waves count three times, others once.
func TestRepeatedLayers(t *testing.T) {
	g, err := ir.Parse("g.fir", "graph @g (T=1..1, P=0..0, S<=1) {\n%x = input \"x\" : f32[1, 4096]\n%a = silu %x\n%b = silu %a\n%c = silu %b\n%d = silu %c\nreturn d=%d\n}")
	require.NoError(t, err)
	g.Nodes()[1].Label, g.Nodes()[2].Label = "layers.0.b", "layers.0.c"
	c := NewChoices(plain(), nil)
	one := Repeated(g, c, plain(), sym.Env{T: 1}, 1)
	require.InDelta(t, Predict(g, c, plain(), sym.Env{T: 1}, 1)-10-4*1, one, 1e-9, "four dispatches of 1 us to encode, and 10 us to submit")
	require.InDelta(t, one*2, Repeated(g, c, plain(), sym.Env{T: 1}, 3), 1e-9, "eight waves of four")
}

// Where weights are expanded once their product copies x, as that of f16 weights does.
func TestStorageBesideExpansion(t *testing.T) {
	g, err := ir.Parse("g.fir", "graph @g (T=1..512, P=0..0, S<=512) {\n%x = input \"x\" : f32[T, 256]\n%q = weight \"q\" : q3_k[2048, 256]\n%h = silu %x\n%y = matmul_nt %h, %q {kernel=\"matrices once\"}\nreturn y=%y\n}")
	require.NoError(t, err)
	x, err := target.Find("h200")
	require.NoError(t, err)
	c := NewChoices(x, nil)
	s := StorageOf(g, c, nil)
	require.True(t, s.Halves(g.Nodes()[0].Results[0]))
	ks := Run{Target: x, Choices: c, Bounds: g.Bounds, Env: sym.Env{T: 512}, Stored: s}.Kernels(g.Nodes()[1])
	require.Len(t, ks, 2)
	require.True(t, ks[0].Early)
	require.Equal(t, 128.0, ks[0].Groups, "chunks of sixteen weights, 256 a threadgroup")
	require.Equal(t, float64(2048*256/256*110), ks[0].Memory, "blocks of 256 in 110 bytes; their halves, 1 MB, lie in the cache")
	require.Equal(t, float64(2*2048*256), ks[0].Cache)
}
