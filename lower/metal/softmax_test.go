package metal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
)

// softmaxForms is every form over the rows of x: whole, and in segments.
func softmaxForms(x, attrs, typ string, segments ...int) string {
	var b strings.Builder
	var results []string
	for i, segment := range append([]int{0}, segments...) {
		form := ""
		if segment > 0 {
			form = fmt.Sprintf(`, kernel="softmax-segments segment=%d"`, segment)
		}
		fmt.Fprintf(&b, "%%%d = softmax %s {%s%s} : %s\n", i+1, x, attrs, form, typ)
		results = append(results, fmt.Sprintf("y%d=%%%d", i, i+1))
	}
	return b.String() + "return " + strings.Join(results, ", ")
}

// TestSoftmaxForms forces every form over rows of every length class, causal and
// not: each agrees with the interpreter, and so with the others. The rows' length
// is S, so they begin anywhere.
func TestSoftmaxForms(t *testing.T) {
	const most = 9000
	graphs := []*ir.Graph{
		alone(parse(t, "T=1..3, P=0..9000, S<=9000", "%0 = input \"x\" : f32[2, T, S]\n"+softmaxForms("%0", "causal=true, start=P", "f32[2, T, S]", 128, 1024, 4096)), "causal"),
		alone(parse(t, "T=1..3, P=0..9000, S<=9000", "%0 = input \"x\" : f32[2, T, S]\n"+softmaxForms("%0", "causal=false, start=0", "f32[2, T, S]", 128, 1024, 4096)), "full"),
		alone(parse(t, "T=1..3, P=0..9000, S<=9000", "%0 = input \"x\" : f16[2, T, S]\n"+softmaxForms("%0", "causal=true, start=P", "f32[2, T, S]", 128, 1024, 4096)), "f16"),
	}
	for _, checked := range []bool{false, true} {
		if checked {
			graphs = graphs[:1]
		}
		b := newBatch(t, graphs, checked)
		lengths := []int64{1, 2, 31, 32, 33, 127, 128, 129, 255, 256, 257, 896, 1023, 1025, 2047, 2048, 2049, 4095, 4096, 4097, 4864, 8191, 8960, most}
		if checked {
			lengths = []int64{1, 129, 1030}
		}
		for i, g := range graphs {
			for _, n := range lengths {
				rows := min(1+n%3, n)
				b.run(t, i, sym.Env{T: rows, P: n - rows}, uint64(n))
				require.False(t, t.Failed(), "%s %d", g.Name, n)
			}
		}
	}
}

// TestSoftmaxOfBlocks reads rows in every block format by the scales they have.
func TestSoftmaxOfBlocks(t *testing.T) {
	var graphs []*ir.Graph
	for _, w := range dtype.AllButAffine() {
		if w.Quantised() {
			text := fmt.Sprintf("%%0 = weight \"w\" : %s[5, 4864]\n", w) + softmaxForms("%0", "causal=true, start=4000", "f32[5, 4864]", 1024)
			graphs = append(graphs, alone(parse(t, "T=1..1, P=0..0, S<=1", text), w.String()))
		}
	}
	b := newBatch(t, graphs, false)
	for i := range graphs {
		b.run(t, i, sym.Env{T: 1}, 1)
	}
}

func TestSoftmaxRefuses(t *testing.T) {
	g := parse(t, "T=1..1, P=0..0, S<=1", "%0 = weight \"w\" : q4_k[5, 512]\n%1 = softmax %0 {causal=false, start=0, kernel=\"segment=20\"} : f32[5, 512]\nreturn y=%1")
	_, err := metal.Compile([]metal.Entry{{Name: "g", Graph: g}}, metal.Options{Target: m3Pro(t), Model: plan.Model{Context: 1}})
	require.ErrorContains(t, err, `kernel="segment=20": none of its kernels has these words; there are softmax-row simdgroups=`)
}

// The number of threads follows from the target: a machine that keeps more threads
// busy gives a long row more.
func TestSoftmaxThreads(t *testing.T) {
	g := parse(t, "T=1..1, P=0..0, S<=1", "%0 = input \"x\" : f32[2, 20000]\n%1 = softmax %0 {causal=false, start=0} : f32[2, 20000]\nreturn y=%1")
	threads := func(change func(*target.Target)) int {
		x := *m3Pro(t)
		change(&x)
		p, err := metal.Compile([]metal.Entry{{Name: "g", Graph: g}}, metal.Options{Target: &x, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
		require.NoError(t, err)
		return p.Kernels[0].Threads[0]
	}
	full := threads(func(*target.Target) {})
	require.Less(t, threads(func(x *target.Target) { x.Limits.Threads = full / 2 }), full)
	require.Less(t, threads(func(x *target.Target) { x.CacheGBs, x.TFlops, x.GroupUs = 1e6, 1e6, 100 }), full)
}
