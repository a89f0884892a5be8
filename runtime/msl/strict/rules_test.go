package strict_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/runtime/msl/lex"
	"foundry/runtime/msl/strict"
)

var update = flag.Bool("update", false, "rewrite what the rules say, in testdata")

// looked are lines that rules look at: what is wrong and what is nearly so.
var looked = []string{
	// Pointers and references.
	"float *p;", "device float *p;", "device const float *p;", "const device float *p;", "constant float &r;", "threadgroup half4 *t;", "thread uint *p;", "float const *p;", "device float const *p;",
	"float const*p;", "volatile float *p;", "device volatile const float *p;", "x * y;", "x*y;", "float4 * y;", "a & b;", "void *p;", "size_t *p;", "ulong2 &r;", "bool4 *p;", "atomic_uint *p;", "device atomic_uint *p;",
	"struct S { uint a; }; S *s;", "struct S { uint a; }; device S *s;", "struct S { uint a; }; S * s;", "enum E { A }; E &e;", "typedef float F; F *f;", "typedef half2 F; device F *f;", "metal::float4 *p;", "device metal::float4 *p;",
	"vec<float, 4> *p;", "device vec<float, 4> *p;", "float<4> *p;", "a < b > *p;", "> *p", "f(>) *p;", "template <typename T> inline void f(T *p);", "template <typename T> inline void f(device T *p);", "template <class T, uint N> inline T g(T a) { return a * N; }",
	"template <typename T> inline T f(T a) { return (T)a *b; }", "float**p;", "device float **p;", "(float *)x", "(device float *)x", "(const device float *)x", "*", "&", "float *", "9float *p;", "my_float *p;",
	// Arrays as parameters.
	"f(float a[4])", "f(float a[])", "f(float a[N], uint b)", "f(const float a[4])", "f(uint b, const half4 a[2] )", "f(device float a[4])", "f(a[4])", "f(b, a[4], c)", "float a[4];", "f(float a[4][2])", "g[4], h", "(T a[4])", "template <typename T> inline void f(T a[4])", "f(a b[i + 1])", "f(\nfloat\na [4] )",
	// Lambdas.
	"auto f = [] { };", "auto f = [&](uint a) { };", "f([=]() mutable -> uint { return 1u; });", "return [] { };", "x[0] = { 1u };", "a[i] { }", "uint a[2] = {1u, 2u};", "{ [a] { } }", "; [a, &b] { }", "x ? [] { } : [] { }", "returned[0] = 1u;", "[", "=[",
	// Words of memory, library and language.
	"new float[4]", "delete p;", "newer(a)", "new_one", "renew [2]", "delete[] p", "std::abs(x)", "mystd::abs", "__global float *p;", "barrier(x)", "my_barrier(x)", "get_global_id(0)",
	// Variables outside functions.
	"float a = 1.0f;", "constant float a = 1.0f;", "uint a;", "static const uint a = 1u;", "constexpr uint a = 1u;", "constant constexpr uint a = 1u;", "device float a[4];", "threadgroup float a [4] = x", "  half4 a;", "atomic_uint a;",
	"inline void f() {\nfloat a = 1.0f;\n}\nfloat b = 1.0f;", "struct S {\nfloat a;\n};\nuint c;", "float f(uint a);", "float3 a = b;", "float5 a = b;", "S a = b;", "long a = b;",
	// Static variables in functions.
	"inline void f() { static uint a; }", "inline void f() const { static uint a; }", "struct S { static uint a; void f() { static uint b; } static uint c; };", "if (a) { } else { static uint b; }", "do { static uint b; } while (a);", "namespace n { static uint a; }", "}\nstatic uint a;", "void f() { { { static uint a; } } }", "void f() { } static uint a;", "void f() { non_static = 1u; }", "float elsewhere { static uint a; }",
	// Functions that reach themselves.
	"inline uint f(uint a) { return f(a); }", "inline uint f(uint a) { return 1u; }\ninline uint f(half a) { return f(uint(a)); }", "inline uint f(uint a) { return g(a); }\ninline uint g(uint a) { return h(a); }\ninline uint h(uint a) { return 1u; }",
	"inline uint f(uint a) { return g(a); }\ninline uint g(uint a) { return f(a); }", "template <uint N> inline uint f() { return f<N - 1u>(); }", "template <uint N>\ninline uint f() { return g<N>(); }\ninline uint g(uint a) { { } return f(a); }", "kernel void k(uint a) { k(a); }", "static uint f() { { f; } }\nuint b = f();", "inline uint f(uint a) { return a; } inline uint g(uint a) { return f(a) + f(a); }", "inline uint f(uint a) { { { } } return 1u; } // f(a)\ninline uint g() { return f(1u); }", "inline uint f(uint a) { return f",
	// Kernels' signatures.
	"kernel void k(device float *x [[buffer(30)]]) {", "kernel void k(device float *x [[buffer(31)]]) {", "kernel void k(device float *x [[buffer(99999999999999999999)]]) {", "kernel void k(threadgroup float *x [[threadgroup(30)]]) {", "kernel void k(threadgroup float *x [[threadgroup(31)]]) {", "kernel void k(device float *x [[threadgroup(0)]]) {", "kernel void k(threadgroup float *x [[buffer(0)]]) {",
	"kernel void k(constant S &x [[ buffer(0) ]]) {", "kernel void k(constant S x [[buffer(0)]]) {", "kernel void k(device float *x) {", "kernel void k(uint3 g [[threadgroup_position_in_grid]], uint3 n [[threadgroups_per_grid]], uint i [[thread_index_in_threadgroup]]) {", "kernel void k(uint g [[threadgroup_position_in_grid]]) {", "kernel void k(uint3 i [[thread_index_in_simdgroup]]) {",
	"kernel void k(uint3 a [[thread_position_in_grid]], uint3 b [[thread_position_in_threadgroup]], uint3 c [[threads_per_threadgroup]], uint d [[simdgroup_index_in_threadgroup]]) {", "kernel void k(uint a [[lane]]) {", "kernel void k(device float *x [[buffer(0)]], device float *y [[buffer(0)]]) {", "kernel void k(device vec<float, 4> *x [[buffer(0)]], device f<(1, 2)> *y [[buffer(1)]]) {", "kernel uint k(device float *x [[buffer(0)]]) {", "kernel voids k(uint a) {", "kernel void k() {",
	"[[max_total_threads_per_threadgroup(1)]] kernel void k() {", "[[max_total_threads_per_threadgroup(1024)]] kernel void k() {", "[[max_total_threads_per_threadgroup(0)]] kernel void k() {", "[[max_total_threads_per_threadgroup(1025)]] kernel void k() {", "[[max_total_threads_per_threadgroup(99999999999999999999)]] kernel void k() {", "[[other]] kernel void k() {",
}

// TestRules holds what the rules say of each line, of the kernels that clang refuses, and of
// a good one of which a token is missing or stands twice.
func TestRules(t *testing.T) {
	var got strings.Builder
	say := func(what, text string) {
		if complaints := strict.Rules(text); len(complaints) > 0 {
			fmt.Fprintf(&got, "%s:\n\t%s\n", what, strings.Join(complaints, "\n\t"))
		}
	}
	for _, text := range looked {
		say(fmt.Sprintf("%q", text), text)
		say(fmt.Sprintf("behind a line, %q", text), "// one\n"+text+"\n")
	}
	for _, w := range wrong {
		say(w.name, w.text)
	}
	toks := lex.Cut(good)
	for i, tok := range toks {
		if tok.Blank() {
			continue
		}
		text := func(instead string) string {
			var b strings.Builder
			for j, tok := range toks {
				if j == i {
					b.WriteString(instead)
				} else {
					b.WriteString(tok.Text)
				}
			}
			return b.String()
		}
		say(fmt.Sprintf("token %d, %q, missing", i, tok.Text), text(""))
		say(fmt.Sprintf("token %d, %q, twice", i, tok.Text), text(tok.Text+" "+tok.Text))
	}
	const file = "testdata/rules.txt"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String(), "rewrite with -update")
}
