package strict_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	"foundry/runtime/devicetest"
	"foundry/runtime/msl/strict"
)

const prelude = "#include <metal_stdlib>\nusing namespace metal;\n"

// good uses what the emitted kernels use.
const good = prelude + `
struct Step { uint T; uint P; };
template <uint N>
inline float sum_of(device const float *x, threadgroup float *part, uint simd, uint lane)
{
    float s = 0.0f;
    for (uint i = lane; i < N; i += 32u) s = fma(x[i], x[i], s);
    s = simd_sum(s);
    if (lane == 0u) part[simd] = s;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return part[0];
}
inline float twice_of(float x) { return x + x; }
struct Twice {
    static float of(float x) { return twice_of(x); }
};
kernel void good(device const float *x [[buffer(0)]], device const half *w [[buffer(1)]], device float *y [[buffer(2)]],
    constant Step &step [[buffer(3)]], threadgroup float *part [[threadgroup(0)]],
    uint3 group [[threadgroup_position_in_grid]], uint tid [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]])
{
    const float s = sum_of<64>(x, part, simd, lane);
    const float4 v = float4(*(device const half4 *)(w + 4u * tid));
    const float2 h = float2(as_type<half2>(step.T));
    y[group.x * 32u + lane] = s + v.x + h.y + float(step.P) + max(v.y, 0.0f) + exp(-v.z) + fast::exp2(-s);
}
`

func clang(t *testing.T) string {
	t.Helper()
	p, err := strict.Find()
	devicetest.Need(t, err)
	return p
}

func TestGoodKernelPasses(t *testing.T) {
	require.NoError(t, strict.Check(context.Background(), clang(t), "good", good))
}

// body wraps statements in a kernel with a device, a threadgroup and a constant
// argument.
func body(s string) string {
	return prelude + `inline float twice(thread float *p) { return 2.0f * *p; }
kernel void k(device float *x [[buffer(0)]], constant float *c [[buffer(1)]], threadgroup float *t [[threadgroup(0)]],
    uint i [[thread_index_in_threadgroup]])
{
    ` + s + `
}
`
}

var wrong = []struct{ name, text, want string }{
	{"device pointer as threadgroup", body("threadgroup float *p = x; p[i] = 0.0f;"), "error"},
	{"cast across address spaces", body("threadgroup float *p = (threadgroup float *)x; p[i] = 0.0f;"), "error"},
	{"device pointer for a thread parameter", body("x[i] = twice(x);"), "error"},
	{"write to constant", body("c[i] = 0.0f;"), "error"},
	{"write to const", body("const float y = x[i]; y = 1.0f;"), "error"},
	{"double", body("double y = 0.5; x[i] = float(y);"), "double"},
	{"virtual", prelude + "struct A { virtual float f() { return 1.0f; } };\n", "virtual"},
	{"function pointer", body("float (*f)(float) = 0; x[i] = f(1.0f);"), "error"},
	{"exception", body("if (i > 3u) throw 1;"), "exceptions"},
	{"variable length array", body("float a[i]; x[i] = a[0];"), "error"},
	{"ambiguous max", body("x[i] = float(max(1u, 2));"), "error"},
	{"vector mismatch", body("float4 v = float4(1.0f, 2.0f); x[i] = v.x;"), "error"},
	{"tensor over device memory", body("tensor<device half, extents<int, 32, 64>, tensor_inline> a((device half *)x, extents<int, 32, 64>());"), "error"},
	{"tensor of other extents", body("tensor<threadgroup half, extents<int, 32, 64>, tensor_inline> a((threadgroup half *)t, extents<int, 64, 32>());"), "error"},
	{"matmul2d of odd rows", body("mpp::tensor_ops::matmul2d<mpp::tensor_ops::matmul2d_descriptor(60, 64, 32, false, true, false, mpp::tensor_ops::matmul2d_descriptor::mode::multiply_accumulate), execution_simdgroups<4>> product;"), "multiples of 16"},
	{"unknown function", body("x[i] = frobnicate(1.0f);"), "error"},
	{"unknown fast function", body("x[i] = fast::frobnicate(1.0f);"), "error"},
	{"std", body("x[i] = std::abs(x[i]);"), "standard library"},
	{"lambda", body("auto f = [](float v) { return v; }; x[i] = f(1.0f);"), "a lambda"},
	{"goto", body("again: x[i] += 1.0f; if (x[i] < 4.0f) goto again;"), "goto"},
	{"static local", prelude + "inline float f()\n{\n    static float n = 0.0f;\n    return n;\n}\n", "static local"},
	{"recursion", prelude + "inline uint f(uint n)\n{\n    return n < 2u ? n : f(n - 1u);\n}\n", "recursion"},
	{"recursion of two", prelude + "inline uint g(uint n);\ninline uint f(uint n)\n{\n    return g(n);\n}\ninline uint g(uint n)\n{\n    return n < 2u ? n : f(n - 1u);\n}\n", "recursion"},
	{"recursion of a member", prelude + "struct S {\n    static uint f(uint n)\n    {\n        return n < 2u ? n : f(n - 1u);\n    }\n};\n", "recursion"},
	{"inline assembly", body(`asm("nop"); x[i] = 0.0f;`), "inline assembly"},
	{"global variable", prelude + "float scale = 2.0f;\n", "a global outside"},
	{"pointer without an address space", prelude + "inline float f(const float *p)\n{\n    return p[0];\n}\n", "without an address space"},
	{"local pointer without an address space", body("float *p = x; p[i] = 0.0f;"), "without an address space"},
	{"pointer to const without an address space", body("const float *p = x; x[i] = p[0];"), "without an address space"},
	{"cast without an address space", body("x[i] = (*(const float4 *)(x)).x;"), "without an address space"},
	{"member without an address space", prelude + "struct S { float *p; };\n", "without an address space"},
	{"pointer to a struct without an address space", prelude + "struct S { float p; };\ninline float f(const S *s)\n{\n    return s->p;\n}\n", "without an address space"},
	{"pointer to a type parameter without an address space", prelude + "template <typename T>\ninline T f(T *s)\n{\n    return s[0];\n}\n", "without an address space"},
	{"pointer to ulong without an address space", prelude + "inline ulong f(const ulong *s)\n{\n    return s[0];\n}\n", "without an address space"},
	{"reference without an address space", prelude + "inline void f(float &r)\n{\n    r = 1.0f;\n}\n", "without an address space"},
	{"array as a parameter", prelude + "inline float f(float s[4])\n{\n    return s[0];\n}\n", "an array as a parameter"},
	{"lambda that captures", body("const float z = 1.0f; auto f = [=](float v) -> float { return v + z; }; x[i] = f(1.0f);"), "a lambda"},
	{"lambda without parameters", body("auto f = [&] { return 1.0f; }; x[i] = f();"), "a lambda"},
	{"static constant in a function", prelude + "inline float f(float x)\n{\n    const float y = x;\n    static constexpr float n = 1.0f;\n    return n + y;\n}\n", "static local"},
	{"static local behind a block", prelude + "inline uint f(uint x)\n{\n    if (x > 2u) { x = 1u; }\n    static uint n;\n    return n + x;\n}\n", "static local"},
	{"recursion of three", prelude + "inline uint h(uint n);\ninline uint g(uint n)\n{\n    return h(n);\n}\ninline uint f(uint n)\n{\n    return g(n);\n}\ninline uint h(uint n)\n{\n    return n < 2u ? n : f(n - 1u);\n}\n", "recursion"},
	{"recursion of a template", prelude + "template <typename T>\ninline T f(T n)\n{\n    return n < T(2) ? n : f(n - T(1));\n}\n", "recursion"},
	{"threadgroup slot above 30", prelude + "kernel void k(device float *x [[buffer(0)]], threadgroup float *t [[threadgroup(31)]])\n{\n    x[0] = t[0];\n}\n", "30 is the last index"},
	{"device memory in a threadgroup slot", prelude + "kernel void k(device float *x [[threadgroup(0)]])\n{\n    x[0] = 1.0f;\n}\n", "wants a pointer"},
	{"kernel that returns", prelude + "kernel float k(device float *x [[buffer(0)]])\n{\n    return x[0];\n}\n", "wants void"},
	{"new", body("float *p = new float[4]; x[i] = p[0];"), "new or delete"},
	{"slot above 30", prelude + "kernel void k(device float *x [[buffer(31)]])\n{\n    x[0] = 1.0f;\n}\n", "30 is the last index"},
	{"unknown attribute", prelude + "kernel void k(device float *x [[buffer(0)]], uint i [[thread_index]])\n{\n    x[i] = 1.0f;\n}\n", "unknown attribute"},
	{"unknown attribute of a kernel", prelude + "[[max_threads(32)]] kernel void k(device float *x [[buffer(0)]])\n{\n    x[0] = 1.0f;\n}\n", "unknown attribute"},
	{"too many threads", prelude + "[[max_total_threads_per_threadgroup(2048)]] kernel void k(device float *x [[buffer(0)]])\n{\n    x[0] = 1.0f;\n}\n", "1 to 1024 threads"},
	{"attribute of another type", prelude + "kernel void k(device float *x [[buffer(0)]], uint3 i [[thread_index_in_simdgroup]])\n{\n    x[i.x] = 1.0f;\n}\n", "wants uint"},
	{"argument without an attribute", prelude + "kernel void k(device float *x [[buffer(0)]], uint i)\n{\n    x[i] = 1.0f;\n}\n", "without an attribute"},
	{"slot twice", prelude + "kernel void k(device float *x [[buffer(0)]], device float *y [[buffer(0)]])\n{\n    x[0] = y[0];\n}\n", "stands twice"},
	{"buffer by value", prelude + "kernel void k(float x [[buffer(0)]], device float *y [[buffer(1)]])\n{\n    y[0] = x;\n}\n", "wants a pointer"},
	{"bfloat", body("bfloat b = bfloat(x[i]); x[i] = float(b);"), "bfloat"},
}

// A wrong kernel fails alone and, with the same words, beside a good one, which is checked behind it.
func TestWrongKernelsFail(t *testing.T) {
	c := clang(t)
	beside := plan.Kernel{Name: "good", Source: strings.Replace(good, prelude, prelude+"typedef uint unsigned32;\n", 1)}
	require.NoError(t, strict.CheckAll(context.Background(), c, []plan.Kernel{beside}))
	for _, w := range wrong {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			err := strict.Check(context.Background(), c, "k", w.text)
			require.Error(t, err)
			require.Contains(t, err.Error(), w.want)
			require.Equal(t, err, strict.CheckAll(context.Background(), c, []plan.Kernel{beside, {Name: "k", Source: w.text}}))
		})
	}
}

// One wrong kernel among many is found, with the words that it gets alone; one without
// the include is not helped by its neighbours.
func TestWrongKernelsFailAmongOthers(t *testing.T) {
	c := clang(t)
	kernels := make([]plan.Kernel, 40)
	for i := range kernels {
		kernels[i] = plan.Kernel{Name: "good", Source: good + fmt.Sprintf("constant uint number = %du;\n", i)}
	}
	require.NoError(t, strict.CheckAll(context.Background(), c, kernels))
	kernels[2].Source += wrong[0].text[len(prelude):]
	require.Equal(t, strict.Check(context.Background(), c, "good", kernels[2].Source), strict.CheckAll(context.Background(), c, kernels[:4]))
	kernels[2].Source = strings.Replace(good, "#include <metal_stdlib>", "", 1)
	require.Error(t, strict.CheckAll(context.Background(), c, kernels[:4]))
}

// What is a word to a compiler is one to the rules, and nothing else is.
func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		"/* asm */ // goto\nx = my_asm;\n":           nil,
		"x = \"goto\";\n":                            nil,
		"/*/ goto */\n":                              nil,
		"#define A \\\n  asm(1)\n":                   {`line 2: inline assembly: "asm"`},
		"// goes on \\\ngoto\n\ngoto a;\n":           {`line 4: goto: "goto"`},
		"double a; // double\n":                      {`line 1: double: "double"`},
		"try { throw 1; } catch (...) { bfloat b; }": {`line 1: exceptions: "try"`, `line 1: exceptions: "throw"`, `line 1: exceptions: "catch"`, `line 1: bfloat (needs Metal 3.1; read ushort and shift): "bfloat"`},
	} {
		require.Equal(t, want, strict.Rules(text), text)
	}
}

func TestFindSaysHow(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := strict.Find()
	require.ErrorContains(t, err, "apt-get install clang-19")
	require.Equal(t, 1, len(strings.Split(err.Error(), "\n")))
}

// What stands in a line for the preprocessor is looked at as other text is, and told of
// by its line, behind comments of several lines too.
func TestRulesLookIntoDirectives(t *testing.T) {
	text := "/* one\n   goto double */\n#define WIDE double // double\n#define F(x) std::abs(x)\ninline void k() { goto end; }\n"
	require.Equal(t, []string{
		`line 4: the standard library: "std::"`, `line 3: double: "double"`, `line 5: goto: "goto"`,
	}, strict.Rules(text))
	require.Equal(t, []string{`line 3: a static local: "static float n = 0.0f;"`}, strict.Rules("inline float f()\n{\n    static float n = 0.0f;\n    return n;\n}\n"))
}

// Kernels of the same stages are checked behind them: a wrong function among right ones is
// found, and so are wrong stages, with the words that each gets alone.
func TestWrongKernelsFailBehindSharedStages(t *testing.T) {
	c := clang(t)
	staged := func(name, stages, own string) plan.Kernel {
		return plan.Kernel{Name: name, Source: "// " + name + ": text\n" + prelude + stages + plan.FunctionBanner + "[[max_total_threads_per_threadgroup(32)]] kernel void " + name + "(device float *x [[buffer(0)]])\n{\n" + own + "}\n"}
	}
	const twice, thrice = "inline float twice(float x) { return 2.0f * x; }\n", "inline float thrice(float x) { return 3.0f * x; }\n"
	kernels := []plan.Kernel{
		staged("a", twice, "x[0] = twice(x[0]);\n"), staged("b", thrice, "x[0] = thrice(x[0]);\n"), staged("c", twice, "x[1] = twice(x[0]);\n"), staged("a", twice, "x[2] = 0.0f;\n"),
	}
	require.NoError(t, strict.CheckAll(context.Background(), c, kernels))
	for _, k := range []plan.Kernel{
		staged("d", twice, "x[0] = thrice(x[0]);\n"), // another's stage
		staged("e", twice, "x[0] = a(x[0]);\n"), staged("f", twice+"inline float g(float x) { return thrice(x); }\n", "x[0] = g(x[0]);\n"),
		staged("g", twice, "float *p = x;\np[0] = 1.0f;\n"), staged("h", "", "#define K 1\nx[K] = twice(0.0f);\n"),
	} {
		want := strict.Check(context.Background(), c, k.Name, k.Source)
		require.Error(t, want)
		require.Equal(t, want, strict.CheckAll(context.Background(), c, append(kernels, k)))
	}
}
