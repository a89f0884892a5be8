package metal_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/metal"
	"foundry/lower/plan"
)

// BenchmarkCompile is lowering alone, graph to plan: the cost a layer is flat.
func BenchmarkCompile(b *testing.B) {
	c, err := qwen25.Family.Preset("72b")
	require.NoError(b, err)
	for _, layers := range []int{24, 48, 80} {
		c.Layers = layers
		o := decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16}
		in := entries(b, c, o, pipelineDefault, m3Pro(b))
		b.Run(fmt.Sprint(layers), func(b *testing.B) {
			for b.Loop() {
				_, err := metal.Compile(in, options(c, o, m3Pro(b)))
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*layers), "us/layer")
		})
	}
}

// TestCompileIsDeterministic compiles one model three times.
func TestCompileIsDeterministic(t *testing.T) {
	c, err := qwen25.Family.Preset("0.5b")
	require.NoError(t, err)
	o := decoder.BuildOptions{Context: 4096, Chunk: 512, Weights: dtype.F16, Cache: dtype.F16}
	hash := ""
	for range 3 {
		p, err := metal.Compile(entries(t, c, o, pipelineFewest, m3Pro(t)), options(c, o, m3Pro(t)))
		require.NoError(t, err)
		require.True(t, hash == "" || p.Hash == hash, "another hash")
		hash = p.Hash
	}
}

// Kernels index elements by uints: more of them would be read in the wrong place.
func TestMoreElementsThanKernelsCount(t *testing.T) {
	compile := func(rows string) error {
		text := fmt.Sprintf("%%0 = input \"x\" : f32[1, 65536]\n%%1 = weight \"w\" : f16[%s, 65536]\n%%2 = matmul_nt %%0, %%1 : f32[1, %s]\nreturn y=%%2", rows, rows)
		_, err := metal.Compile([]metal.Entry{{Name: "decode", Graph: parse(t, "T=1..1, P=0..0, S<=1", text)}}, metal.Options{
			Target: m3Pro(t), Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
		return err
	}
	require.NoError(t, compile("65535"))
	require.EqualError(t, compile("65536"), "entry decode: w has up to 4294967296 elements; kernels count to 4294967295")
}

// Entries share a cache by its name; one of another head_dim or dtype would read
// what the others wrote by strides of its own.
func TestEntriesShareACache(t *testing.T) {
	entry := func(name, cache, x string) metal.Entry {
		text := fmt.Sprintf("%%0 = state \"kv\" : %s\n%%1 = input \"x_%s\" : %s\n%%2 = kv_write %%0, %%1 {start=P} : %s\nreturn kv=%%2", cache, name, x, cache)
		return metal.Entry{Name: name, Graph: parse(t, "T=1..4, P=0..8, S<=8", text)}
	}
	compile := func(second metal.Entry) error {
		_, err := metal.Compile([]metal.Entry{entry("prefill", "f16[2, 8, 64]", "f32[2, T, 64]"), second}, metal.Options{
			Target: m3Pro(t), Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
		return err
	}
	require.NoError(t, compile(entry("decode", "f16[2, 8, 64]", "f32[2, 1, 64]")))
	require.EqualError(t, compile(entry("decode", "f16[2, 8, 32]", "f32[2, 1, 32]")), `entry decode: state "kv" is f16[2, 8, 32] here and f16[2, 8, 64] in another entry`)
	require.EqualError(t, compile(entry("decode", "f16[2, 8, 80]", "f32[2, 1, 80]")), `entry decode: state "kv" is f16[2, 8, 80] here and f16[2, 8, 64] in another entry`)
	require.EqualError(t, compile(entry("decode", "f32[2, 8, 64]", "f32[2, 1, 64]")), `entry decode: state "kv" is f32[2, 8, 64] here and f16[2, 8, 64] in another entry`)
}

// Entries share an output by its name, as large as the largest of them needs, whichever
// comes first; it keeps its name beside an input that has it, and is another buffer.
func TestEntriesShareAnOutput(t *testing.T) {
	entry := func(name, rows string) metal.Entry {
		text := fmt.Sprintf("%%0 = input \"y\" : f32[%s, 64]\n%%1 = silu %%0 : f32[%s, 64]\nreturn y=%%1", rows, rows)
		return metal.Entry{Name: name, Graph: parse(t, "T=1..4, P=0..0, S<=4", text)}
	}
	for _, rows := range [][2]string{{"1", "T"}, {"T", "1"}} {
		p, err := metal.Compile([]metal.Entry{entry("a", rows[0]), entry("b", rows[1])}, metal.Options{Target: m3Pro(t), Model: plan.Model{Context: 4}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
		require.NoError(t, err)
		require.NoError(t, p.Check())
		names, outputs := map[string]bool{}, 0
		for _, b := range p.Buffers {
			require.False(t, names[b.Name], b.Name)
			names[b.Name] = true
			if b.Class == plan.Output || b.Class == plan.Input {
				require.EqualValues(t, 4*4*64, b.Bytes, b.Name)
				require.Equal(t, []sym.Dim{sym.T, sym.Const(64)}, b.Shape, b.Name)
			}
			if b.Class == plan.Output {
				outputs++
			}
		}
		require.Equal(t, 1, outputs)
	}
}

// A result that a kernel computes element by element lies where its operand lay, which
// nobody else reads; where another reads it, it does not.
func TestResultsInPlace(t *testing.T) {
	arena := func(last string) int64 {
		text := "%0 = input \"x\" : f32[1024]\n%1 = silu %0 : f32[1024]\n%2 = silu %1 : f32[1024]\n" + last + " : f32[1024]\nreturn y=%4"
		p, err := metal.Compile([]metal.Entry{{Name: "decode", Graph: parse(t, "T=1..1, P=0..0, S<=1", text)}}, metal.Options{Target: m3Pro(t), Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
		require.NoError(t, err)
		require.NoError(t, p.Check())
		return p.ArenaBytes
	}
	require.EqualValues(t, 4096, arena("%3 = silu %2 : f32[1024]\n%4 = silu %3"))
	require.EqualValues(t, 8192, arena("%3 = silu %2 : f32[1024]\n%4 = add %3, %1"))
}
