package cost

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/sym"
)

// kernelsOf returns what plain gets for the nodes of a text, as one region or the one node,
// in a run of 5 tokens behind 7.
func kernelsOf(t *testing.T, decl, text string) []Kernel {
	t.Helper()
	g, err := ir.Parse("g.fir", fmt.Sprintf("graph @g (T=1..8, P=0..40, S<=64) {\n%s\n%s\nreturn y=%%y\n}", decl, text))
	require.NoError(t, err)
	n := g.Nodes()[0]
	if len(g.Nodes()) > 1 {
		n, err = g.FusedNode(g.Nodes(), "x", "x")
		require.NoError(t, err)
	}
	return Run{Target: plain(), Bounds: g.Bounds, Env: sym.Env{T: 5, P: 7}}.Kernels(n)
}

// One kernel of each kind on plain, worked out by hand: what is read and written, what the
// lanes do, how many threadgroups there are, and what the prologue of each makes.
func TestKernelsOfEachKind(t *testing.T) {
	// A product of 5 rows by 96 rows of 256: four simdgroups of two rows each, 12
	// threadgroups for each four vectors, of which there are two sets.
	const product = 2 * 5 * 96 * 256 * (1 + 1.0/4 + 1.0/2)
	const vectors = 24 * 4 // that all threadgroups make together
	const a, w = "%a = input \"a\" : f32[T, 256]\n", "%w = weight \"w\" : f16[96, 256]\n"
	dealt := func(k Kernel) []Kernel {
		k.Name, k.Groups, k.Threads, k.Loads = "x", 24, 128, 2
		k.Memory += 96 * 256 * 2
		k.Flops += product
		k.Cache += 5*256*4 + 5*96*4 + 96*256*2 + vectors*256*4 // x, y, weights again, and vectors
		k.Exchanges += 2                                       // a sum of each row
		return []Kernel{k}
	}
	for _, c := range []struct {
		name, decl, text string
		want             []Kernel
	}{
		{"embedding", "%i = input \"i\" : i32[T]\n%w = weight \"w\" : q8_0[100, 64]", "%y = embedding %i, %w",
			[]Kernel{{Name: "embedding", Memory: 5 * 2 * 34, Cache: 5*4 + 5*64*4, Groups: 1, Threads: 256}}}, // 80 loads of four
		{"add", "%a = input \"a\" : f32[T, 600]\n%b = input \"b\" : f32[T, 600]", "%y = add %a, %b",
			[]Kernel{{Name: "add", Cache: 3 * 5 * 600 * 4, Flops: 5 * 600, Groups: 3, Threads: 256}}}, // 750 loads of four
		{"add, wider", "%a = input \"a\" : f32[T, 1200]\n%b = weight \"b\" : f32[1200]", "%y = add %a, %b",
			[]Kernel{{Name: "add", Memory: 1200 * 4, Cache: 2 * 5 * 1200 * 4, Flops: 5 * 1200, Groups: 6, Threads: 256}}}, // 1,500 loads
		{"odd rows", "%a = input \"a\" : f32[T, 601]", "%y = silu %a",
			[]Kernel{{Name: "silu", Cache: 2 * 5 * 601 * 4, Flops: 8 * 5 * 601, Groups: 12, Threads: 256}}}, // 3,005 loads of one
		{"norm", "%a = input \"a\" : f32[T, 600]\n%g = weight \"g\" : f32[600]", "%y = rms_norm %a, %g {eps=1e-06}",
			[]Kernel{{Name: "rms_norm", Memory: 2400, Cache: 2 * 5 * 2400, Flops: 4 * 3000, Groups: 5, Threads: 160, Shared: 32, Exchanges: exchangesOfReduction}}},
		{"argmax", "%a = input \"a\" : f32[1, 10000]", "%y = argmax %a",
			[]Kernel{{Name: "argmax", Cache: 40_000 + 4, Flops: 10_000, Groups: 1, Threads: 1024, Shared: 2 * 128, Exchanges: exchangesOfReduction}}},
		{"softmax", "%a = input \"a\" : f32[3, 1000]", "%y = softmax %a {causal=false, start=0}",
			[]Kernel{{Name: "softmax", Cache: 3 * 12_000, Flops: 8 * 3000, Groups: 3, Threads: 128, Shared: 32, Exchanges: 6, PrologueSteps: 1}}},
		{"scores", "%q = input \"q\" : f32[4, T, 64]\n%k = input \"k\" : f32[4, 100, 64]", "%y = bmm_nt %q, %k {scale=1}",
			// 20 rows of 100 scores, 64 a threadgroup; each element reads its own two rows.
			[]Kernel{{Name: "bmm_nt", Cache: 20*256 + 400*256 + 20*400 + 20*100*64*2, Flops: 2*20*100*64 + 20*100*64*2, Groups: 40, Threads: 64, Exchanges: 1}}},
		{"weighted", "%w = input \"w\" : f32[4, T, 100]\n%v = input \"v\" : f32[4, 100, 64]", "%y = bmm_nn %w, %v",
			[]Kernel{{Name: "bmm_nn", Cache: 20*400 + 400*256 + 20*256 + 20*100*64*2, Flops: 2*20*100*64 + 20*100*64*2, Groups: 40, Threads: 256, Shared: 1024, Exchanges: exchangesOfProduct}}},
		{"attention", "%q = input \"q\" : f32[4, T, 64]\n%k = state \"k\" : f16[4, 100, 64]\n%v = state \"v\" : f16[4, 100, 64]",
			"%s = bmm_nt %q, %k {scale=1}\n%w = softmax %s {causal=false, start=0}\n%y = bmm_nn %w, %v",
			[]Kernel{{Name: "x", Memory: 2 * 4 * 100 * 64 * 2, Cache: 2*20*256 + 20*100*64*4, Flops: 20*100*64*8 + 8*20*100, Groups: 20, Threads: 64, Shared: 4 * 2 * 66, Loads: 4,
				Exchanges: 3*2 + 2*(2+8) + exchangesOfReduction + 16}}},
		{"product", a + w, "%x = matmul_nt %a, %w\n%y = silu %x", dealt(Kernel{Flops: 8 * 5 * 96})},
		{"normed product", a + w + "%g = weight \"g\" : f32[256]", "%h = rms_norm %a, %g {eps=1e-06}\n%y = matmul_nt %h, %w",
			dealt(Kernel{Memory: 1024, Flops: 4 * 5 * 256, PrologueCache: vectors * 1024, PrologueFlops: vectors * 256 * 2, PrologueSteps: 1, Cache: vectors * 1024, Exchanges: exchangesOfReduction, Shared: 4*1024 + 4*4*4})},
		{"scaled product", a + w + "%g = weight \"g\" : f32[256]\n%s = input \"s\" : f32[T, 8]", "%h = rms_scale %a, %s, %g {eps=1e-06}\n%y = matmul_nt %h, %w",
			dealt(Kernel{Memory: 1024, Flops: 3*5*256 + vectors*256*2, PrologueCache: vectors * 32, PrologueFlops: vectors * 8, Cache: 5*32 + vectors*1024, Exchanges: exchangesOfReduction, Shared: 4*1024 + 4*4*4})},
		{"swiglu product", a + w + "%b = input \"b\" : f32[T, 256]", "%h = silu %a\n%m = mul %h, %b\n%y = matmul_nt %m, %w",
			dealt(Kernel{Flops: 9 * 5 * 256, PrologueCache: 2 * vectors * 1024, PrologueFlops: 9 * vectors * 256, PrologueSteps: 1, Cache: 5 * 1024, Shared: 4 * 1024})},
		{"product and its best", "%a = input \"a\" : f32[1, 256]\n%w = weight \"w\" : f16[960, 256]", "%h = matmul_nt %a, %w\n%y = argmax %h", []Kernel{
			{Name: "x", Memory: 960 * 512, Cache: 1024 + 4 + 60*1024, Flops: 960 + 2*960*256*(1+1+1.0/2), Groups: 60, Threads: 256, Shared: 64, Loads: 2, Exchanges: 2 + exchangesOfReduction},
			{Name: "argmax_merge", Cache: 60 * 8, Groups: 1, Threads: 32, Shared: 32}}},
	} {
		have := kernelsOf(t, c.decl, c.text)
		require.Equal(t, c.want, have, c.name)
	}
}
