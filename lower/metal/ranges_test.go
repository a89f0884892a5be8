package metal_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/seeded"
	"foundry/ir/sym"
	"foundry/lower/metal"
	"foundry/lower/plan"
)

// A product of rows without a bound is exact in powers of two: rows that are larger or
// smaller by some give results that are so, bit for bit, each row on its own.
func TestRowsOfAnySize(t *testing.T) {
	const rows = 77
	env := sym.Env{T: rows}
	for name, c := range map[string]struct {
		body string
		cols int // of the input, and of the result
		from int
		main string
	}{
		"f16":  {"%0 = input \"x\" : f32[T, 96]\n%1 = weight \"w\" : f16[48, 96]\n%2 = matmul_nt %0, %1 : f32[T, 48]\nreturn y=%2", 48, 96, "gemm_block<"},
		"bf16": {"%0 = input \"x\" : f32[T, 90]\n%1 = weight \"w\" : bf16[50, 90]\n%2 = matmul_nt %0, %1 : f32[T, 50]\nreturn y=%2", 50, 90, "gemm_block<"},
		"q8_0": {"%0 = input \"x\" : f32[T, 96]\n%1 = weight \"w\" : q8_0[48, 96]\n%2 = matmul_nt %0, %1 : f32[T, 48]\nreturn y=%2", 48, 96, "gemm_block<"},
		"q4_k": {"%0 = input \"x\" : f32[T, 256]\n%1 = weight \"w\" : q4_k[48, 256]\n%2 = matmul_nt %0, %1 : f32[T, 48]\nreturn y=%2", 48, 256, "gemm_block<"},
		"scores": {"%0 = input \"x\" : f32[1, T, 64]\n%1 = weight \"k\" : f32[1, 40, 64]\n%2 = cast %1 {to=f16} : f16[1, 40, 64]\n" +
			"%3 = bmm_nt %0, %2 {scale=0.125} : f32[1, T, 40]\nreturn y=%3", 40, 64, "gemm_block<"},
		"weighted": {"%0 = input \"x\" : f32[1, T, 40]\n%1 = weight \"v\" : f32[1, 40, 64]\n%2 = cast %1 {to=f16} : f16[1, 40, 64]\n" +
			"%3 = bmm_nn %0, %2 : f32[1, T, 64]\nreturn y=%3", 64, 40, "tile_load_rows<"},
	} {
		t.Run(name, func(t *testing.T) {
			g := parse(t, "T=1..80, P=0..8, S<=88", c.body)
			b := newBatchFor(t, []*ir.Graph{g}, true, manyToTiles(t))
			_, product := ends(t, b, g.Name)
			require.Contains(t, product, c.main)
			require.Contains(t, product, "range_down(most)")
			want := floats(b.outcome(t, env, 3, once))
			// Of 2^-60 to 2^64, neighbours far apart.
			size := func(row int) float32 { return float32(math.Ldexp(1, row*53%125-60)) }
			have := floats(b.outcome(t, env, 3, func(i int) float32 { return size(i / c.from) }))
			require.Len(t, have, rows*c.cols)
			for i := range want {
				require.Equal(t, want[i]*size(i/c.cols), have[i], "row %d, column %d", i/c.cols, i%c.cols)
			}
		})
	}
}

// Two products of the same types are two kernels where one scales its rows by their range and
// the other's are halves as they are: what is lowered once for all regions of a choice is
// told apart by that, too.
func TestProductsOfOtherRanges(t *testing.T) {
	g := parse(t, "T=1..80, P=0..8, S<=88", "%0 = input \"x\" : f32[T, 96]\n%1 = weight \"w\" : f16[96, 96]\n%2 = weight \"g\" : f32[96]\n"+
		"%3 = softmax %0 : f32[T, 96]\n%4 = rms_norm %0, %2 {eps=1e-06} : f32[T, 96]\n"+
		"%5 = matmul_nt %3, %1 : f32[T, 96]\n%6 = matmul_nt %4, %1 : f32[T, 96]\nreturn a=%3, b=%4, y=%5, z=%6")
	p, err := metal.Compile([]metal.Entry{{Name: g.Name, Graph: g}}, metal.Options{
		Target: manyToTiles(t), Model: plan.Model{Context: 88}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
	require.NoError(t, err)
	ranged := map[bool]int{}
	for _, k := range p.Kernels {
		if strings.Contains(k.Source, "gemm_block<") {
			ranged[strings.Contains(k.Source, "_range[0]")]++
		}
	}
	require.Equal(t, map[bool]int{true: 1, false: 1}, ranged)
}

// A graph that casts an operand to f16 says how far it reaches: tiles copy those halves as
// they are, the largest too, and look for no larger one.
func TestCastRowsAreCopied(t *testing.T) {
	const rows, cols, results = 77, 128, 48
	env := sym.Env{T: rows}
	g := parse(t, "T=1..80, P=0..8, S<=88", "%0 = input \"x\" : f32[T, 128]\n%1 = weight \"w\" : f16[48, 128]\n"+
		"%2 = cast %0 {to=f16} : f16[T, 128]\n%3 = cast %2 {to=f32} : f32[T, 128]\n%4 = matmul_nt %3, %1 : f32[T, 48]\nreturn y=%4")
	b := newBatchFor(t, []*ir.Graph{g}, true, manyToTiles(t))
	_, product := ends(t, b, g.Name)
	require.Contains(t, product, "device const half *x")
	require.NotContains(t, product, "range_")
	run := func(exponent func(row int) int) []float32 {
		return floats(b.outcome(t, env, 3, func(i int) float32 { return float32(math.Ldexp(1, exponent(i/cols))) }))
	}
	want := run(func(int) int { return 6 })
	have := run(func(row int) int { return 6 + row%7 })
	overflown := run(func(int) int { return 40 })
	for i := range want {
		require.Equal(t, want[i]*float32(math.Ldexp(1, i/results%7)), have[i], "row %d, column %d", i/results, i%results)
		require.False(t, !math.IsNaN(float64(overflown[i])) && !math.IsInf(float64(overflown[i]), 0), "row %d: infinite halves gave %g", i/results, overflown[i])
	}
}

// Attention of queries without a bound: larger ones under a smaller scale are the same.
func TestQueriesOfAnySize(t *testing.T) {
	const body = "%%0 = input \"q\" : f32[2, T, 64]\n%%1 = weight \"k\" : f32[1, 40, 64]\n%%2 = cast %%1 {to=f16} : f16[1, 40, 64]\n" +
		"%%3 = fused %%0, %%2 {pattern=\"attention\"} @\"attention\" {\n%%0 = arg : f32[2, T, 64]\n%%1 = arg : f16[1, 40, 64]\n" +
		"%%2 = bmm_nt %%0, %%1 {scale=%g} : f32[2, T, 40]\n%%3 = softmax %%2 : f32[2, T, 40]\n%%4 = bmm_nn %%3, %%1 : f32[2, T, 64]\nreturn %%4\n}\nreturn y=%%3"
	env := sym.Env{T: 77}
	run := func(exponent int) []float32 {
		g := parse(t, "T=1..80, P=0..8, S<=88", fmt.Sprintf(body, math.Ldexp(1, -exponent)))
		b := newBatchFor(t, []*ir.Graph{g}, true, manyToTiles(t))
		_, product := ends(t, b, g.Name)
		require.Contains(t, product, "flash_prefill<")
		return floats(b.outcome(t, env, 3, func(int) float32 { return float32(math.Ldexp(1, exponent)) }))
	}
	want := run(0)
	for _, exponent := range []int{-40, -17, 17, 40} {
		require.Equal(t, want, run(exponent), "times 2^%d", exponent)
	}
}

func floats(b []byte) []float32 {
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

// A cache of halves that any value may be written to says which cache could not hold
// one, on the device and in the reference; infinities are as good as other values.
func TestCacheRefuses(t *testing.T) {
	const body = "%0 = state \"layers.2.k\" : f16[2, 8, 32]\n%1 = input \"x\" : f32[2, T, 32]\n" +
		"%2 = kv_write %0, %1 {start=P} : f16[2, 8, 32] @\"layers.2.k_write\"\nreturn layers.2.k=%2"
	env := sym.Env{T: 2}
	g := parse(t, "T=1..4, P=0..7, S<=8", body)
	b := newBatch(t, []*ir.Graph{g}, true)
	for gain, refused := range map[float32]bool{1: false, 65519: false, 65520: true, -1e9: true, float32(math.Inf(1)): false} {
		in, err := b.exec.NewInstance()
		require.NoError(t, err)
		x := make([]float32, 2*2*32)
		x[77] = gain
		require.NoError(t, in.Write("x", f32Bytes(x...)))
		_, want := b.programs[0].Run(background, interp.Run{
			Env: env, State: b.programs[0].NewState(), Inputs: map[string]interp.Tensor{"x": interp.Floats(x, 2, 2, 32)},
		})
		have := in.Run(background, g.Name, env)
		if refused {
			require.ErrorContains(t, have, "layers.2.k: a value is beyond what an f16 cache holds, 65504 at most: compile with --cache f32")
			require.ErrorContains(t, want, "layers.2.k_write")
			require.ErrorContains(t, want, "--cache f32")
		} else {
			require.NoError(t, have)
			require.NoError(t, want)
		}
		require.NoError(t, in.Close())
	}
}

// What kernels write to a cache of a model has a bound: the cache is scaled by it, and a
// host reads and writes its values.
func TestScaledCache(t *testing.T) {
	const body = "%0 = state \"k\" : f16[1, 8, 32]\n%1 = input \"x\" : f32[T, 64]\n%2 = weight \"gamma\" : f32[64]\n%3 = weight \"w\" : f16[32, 64]\n" +
		"%4 = rms_norm %1, %2 {eps=1e-06} : f32[T, 64]\n%5 = matmul_nt %4, %3 : f32[T, 32]\n%6 = kv_rearrange %5 {heads=1} : f32[1, T, 32]\n" +
		"%7 = kv_write %0, %6 {start=P} : f16[1, 8, 32]\nreturn k=%7"
	g := parse(t, "T=1..4, P=0..7, S<=8", body)
	b := newBatch(t, []*ir.Graph{g}, true)
	b.run(t, 0, sym.Env{T: 3, P: 2}, 5)
	in, err := b.exec.NewInstance()
	require.NoError(t, err)
	defer in.Close()
	scaled := false
	for _, buffer := range b.plan.Buffers {
		scaled = scaled || buffer.Name == "k" && buffer.Range > 0
	}
	require.True(t, scaled)
	values := make([]byte, 2*8*32)
	for i := 0; i < len(values); i += 2 {
		binary.LittleEndian.PutUint16(values[i:], dtype.F32ToF16(float32(i%7)/8-0.25))
	}
	require.NoError(t, in.Write("k", values))
	have := make([]byte, len(values))
	require.NoError(t, in.Read("k", have))
	require.Equal(t, values, have)
	binary.LittleEndian.PutUint16(values[6:], dtype.F32ToF16(6e4))
	require.ErrorContains(t, in.Write("k", values), "buffer k: element 3 is 60000, kernels write at most")
}

// The preparation measures weights of every format, in blocks and in planes, and makes
// ranges of the bounds that follow.
func TestPreparation(t *testing.T) {
	formats := []string{"f16", "bf16", "q8_0", "q5_1", "q4_k", "affine4_g64_bf16"}
	if complete {
		formats = append(formats, "q4_0", "q6_k", "q2_k", "iq4_nl")
	}
	for _, name := range formats {
		const cols, rows = 256, 48
		body := fmt.Sprintf("%%0 = input \"x\" : f32[T, %[1]d]\n%%1 = weight \"gamma\" : f32[%[1]d]\n%%2 = weight \"w\" : %[2]s[%[3]d, %[1]d]\n"+
			"%%3 = weight \"bias\" : f32[%[3]d]\n%%4 = weight \"last\" : f16[32, %[3]d]\n%%5 = rms_norm %%0, %%1 {eps=1e-06} : f32[T, %[1]d]\n"+
			"%%6 = matmul_nt %%5, %%2 : f32[T, %[3]d]\n%%7 = add %%6, %%3 : f32[T, %[3]d]\n%%8 = mul %%7, %%6 : f32[T, %[3]d]\n"+
			"%%9 = matmul_nt %%8, %%4 : f32[T, 32]\nreturn y=%%9", cols, name, rows)
		g := parse(t, "T=1..80, P=0..8, S<=88", body)
		b := newBatchFor(t, []*ir.Graph{g}, false, manyToTiles(t))
		source := seeded.Weights(g, 1)
		read := func(name string) []float32 {
			for _, p := range g.Params {
				if p.Param.Name == name {
					x, err := source(name, p.Type)
					require.NoError(t, err)
					out := make([]float32, p.Type.Shape.Elems(sym.Env{T: 1}))
					dtype.Dequantise(p.Type.DType, x.Stored, out)
					return out
				}
			}
			return nil
		}
		gamma, w := read("gamma"), read("w")
		longest := 0.0
		for at := 0; at < len(w); at += cols {
			squares := 0.0
			for i, v := range gamma {
				x := float64(w[at+i]) * float64(v)
				squares += x * x
			}
			longest = max(longest, math.Sqrt(squares))
		}
		product := math.Sqrt(cols) * longest
		bounds := []float64{math.Sqrt(cols) * largestOf(gamma), (product + largestOf(read("bias"))) * product}
		if name != "f16" {
			bounds = append(bounds, largestOf(w))
		}
		want := map[float32]bool{}
		for _, bound := range bounds {
			_, exponent := math.Frexp(bound)
			want[float32(math.Ldexp(1, 15-exponent))] = true
		}
		in, err := b.exec.NewInstance()
		require.NoError(t, err)
		content := make([]byte, b.plan.Buffers[b.plan.BufferFor(plan.RangesBuffer)].Bytes)
		require.NoError(t, in.Read("ranges", content))
		require.NoError(t, in.Close())
		have := map[float32]bool{}
		for i, v := range floats(content)[2:] {
			if i%2 == 0 {
				have[v] = true
				require.Equal(t, 1/v, floats(content)[i+3])
			}
		}
		require.Equal(t, want, have, "%s: bounds %v", name, bounds)
	}
}

func largestOf(v []float32) float64 {
	most := 0.0
	for _, x := range v {
		most = max(most, math.Abs(float64(x)))
	}
	return most
}

// Weights of one shape that lie in memory in different ways are measured by different
// kernels: affine types have one reader with other bits and groups.
func TestWeightsAreMeasuredAsTheyLie(t *testing.T) {
	types := []string{"bf16", "q8_0", "affine4_g64_bf16", "affine8_g64_bf16", "affine4_g32_bf16", "affine4_g64_bf16_zero", "affine4_g64_f16"}
	params, nodes, results := "%0 = input \"x\" : f32[T, 128]\n", "", ""
	for i, typ := range types {
		params += fmt.Sprintf("%%%d = weight \"w%d\" : %s[64, 128]\n", i+1, i, typ)
		nodes += fmt.Sprintf("%%%d = matmul_nt %%0, %%%d\n", len(types)+i+1, i+1)
		results += fmt.Sprintf(", y%d=%%%d", i, len(types)+i+1)
	}
	g := alone(parse(t, "T=1..512, P=0..8, S<=520", params+nodes+"return "+results[2:]), "g")
	p, err := metal.Compile([]metal.Entry{{Name: g.Name, Graph: g}}, metal.Options{
		Target: manyToTiles(t), Model: plan.Model{Name: "test", Layers: 1, Context: 520}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
	require.NoError(t, err)
	require.NotNil(t, p.Prepare)
	by := map[int]dtype.Type{}
	for _, s := range p.Prepare.Steps {
		if d := s.Dispatch; d != nil && p.Kernels[d.Kernel].Main == plan.WeightSizes {
			weight := p.Buffers[d.Bind[0].Buffer].DType
			if other, ok := by[d.Kernel]; ok {
				require.Equal(t, other, weight)
			}
			by[d.Kernel] = weight
		}
	}
	require.Len(t, by, len(types))
}

// A bound of more terms than a kernel can read is none: the kernel that computed its range
// would bind more buffers than there are.
func TestBoundOfManyTerms(t *testing.T) {
	body := "%ids = input \"ids\" : i32[T]\n%m = weight \"m\" : f16[128, 64]\n"
	for i := range 7 {
		body += fmt.Sprintf("%%w%d = weight \"w%d\" : f16[16, 64]\n", i, i)
	}
	for i := range 7 {
		body += fmt.Sprintf("%%e%d = embedding %%ids, %%w%d\n", i, i)
	}
	body += `%a = add %e0, %e1
%b = add %a, %e2
%c = add %e3, %e4
%d = add %c, %e5
%e = add %d, %e6
%x = mul %b, %e
%y = matmul_nt %x, %m {kernel="tiles"}
return y=%y`
	p, err := metal.Compile([]metal.Entry{{Name: "g", Graph: parse(t, "T=1..64, P=0..0, S<=64", body)}}, metal.Options{
		Target: m3Pro(t), Model: plan.Model{Context: 64}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
	require.NoError(t, err)
	require.NoError(t, p.Check())
}
