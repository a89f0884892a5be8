package msl

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"attributes", "uint tid [[thread_index_in_threadgroup]], x", "uint tid                                , x"},
		{"an attribute over lines", "a [[buffer(\n0)]] b", "a          \n     b"},
		{"subscripts are no attributes", "a[b[0]] = c[d[1]];", "a[b[0]] = c[d[1]];"},
		{"address spaces", "device float* p, thread uint& q, kernel void f()", "       float* p,        uint& q, static void f()"},
		{"constant", "constant float* p; const constant int* q; constant const int* r", "const    float* p; const          int* q;          const int* r"},
		{"a threadgroup parameter", "void f(threadgroup float* p) { threadgroup float* q = p; (threadgroup uint*)p; }",
			"void f(            float* p) {             float* q = p; (            uint*)p; }"},
		{"threadgroup storage", "void f() { threadgroup float a[64]; threadgroup uint b, c[2][N]; }",
			"void f() { typedef float foundry_element_a; FOUNDRY_THREADGROUP_ARRAY(foundry_element_a, a, [64])  " +
				"typedef uint foundry_element_b; FOUNDRY_THREADGROUP_ARRAY(foundry_element_b, b, ) " +
				"typedef uint foundry_element_c; FOUNDRY_THREADGROUP_ARRAY(foundry_element_c, c, [2][N])  }"},
		{"storage of a class", "{ threadgroup metal::vec<float, 4> a[max(1, 2)]; }",
			"{ typedef metal::vec<float,4> foundry_element_a; FOUNDRY_THREADGROUP_ARRAY(foundry_element_a, a, [max(1,2)])  }"},
		{"storage behind a block, not behind the body", "void f() { { } threadgroup float a[1]; } threadgroup float b[1];",
			"void f() { { } typedef float foundry_element_a; FOUNDRY_THREADGROUP_ARRAY(foundry_element_a, a, [1])  }             float b[1];"},
		{"storage behind brackets, not within", "void f() { g(1); threadgroup float a; g((threadgroup float)b); }",
			"void f() { g(1); typedef float foundry_element_a; FOUNDRY_THREADGROUP_ARRAY(foundry_element_a, a, )  g((            float)b); }"},
		{"no storage in the head of a loop", "{ for (threadgroup float a; b; ) { threadgroup float c; } }",
			"{ for (            float a; b; ) { typedef float foundry_element_c; FOUNDRY_THREADGROUP_ARRAY(foundry_element_c, c, )  } }"},
		{"storage over lines", "{ threadgroup\nunsigned int a[\n2],\nb;\n[[c]] }",
			"{ typedef unsigned int foundry_element_a; FOUNDRY_THREADGROUP_ARRAY(foundry_element_a, a, [2]) typedef unsigned int foundry_element_b; FOUNDRY_THREADGROUP_ARRAY(foundry_element_b, b, ) \n\n\n\n      }"},
		{"storage of an index's expressions", "{ threadgroup float a[f(1, b[2] = 3)]; }", "{ typedef float foundry_element_a; FOUNDRY_THREADGROUP_ARRAY(foundry_element_a, a, [f(1,b[2]=3)])  }"},
		{"storage of two classes", "{ threadgroup A<B<c>, 2> a, b[2]; }",
			"{ typedef A<B<c>,2> foundry_element_a; FOUNDRY_THREADGROUP_ARRAY(foundry_element_a, a, ) typedef A<B<c>,2> foundry_element_b; FOUNDRY_THREADGROUP_ARRAY(foundry_element_b, b, [2])  }"},
		{"no storage", "{ threadgroup float& a = b; threadgroup a; threadgroup [c]; threadgroup float a", "{             float& a = b;             a;             [c];             float a"},
		{"a constant beside comments", "const /* */ constant int a; constant /* */ const int b; constant int c", "const /* */          int a;          /* */ const int b; const    int c"},
		{"a macro that is the header's, where that has none", "#ifndef OWNED\n#if 1\n#endif\n#define OWNED\n#endif\nx", "#ifndef OWNED\n#if 1\n#endif\n#define OWNED\n#endif\nx"},
		{"a macro of words", "#define A device constant thread 1.0 kernel\n#pragma device 2.0\n", "#define A        const           1.0f static\n#pragma device 2.0f\n"},
		{"a null directive", "#\n# /* */\nx", "#\n# /* */\nx"},
		{"includes of Metal's", "#include <metal_math> // x\n#include <metal_tensor>\n", "\n\n"},
		{"words in other words and comments", "my_device // device\n\"kernel\" /* thread */ devices", "my_device // device\n\"kernel\" /* thread */ devices"},
		{"literals have no double", "1.0 2.f .5 1e3 1e-3 0x1p-3 7 0xE 1.5h 3u x.y1 a.x", "1.0f 2.f .5f 1e3f 1e-3f 0x1p-3f 7 0xE 1.5h 3u x.y1 a.x"},
		{"the header", "#include <metal_stdlib>\nx", "\nx"},
		{"a macro", "#define A(x) \\\n  (threadgroup float*)x * 2.0\ny", "#define A(x) \\\n  (            float*)x * 2.0f\ny"},
		{"a line directive", "#line 7 \"main/gemv.metal\"\nx", "#line 7 \"main/gemv.metal\"\nx"},
	} {
		got, err := clean("k.metal", c.text, nil)
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, got.text, c.name)
	}
}

func TestCleanErrors(t *testing.T) {
	for text, want := range map[string]string{
		"\n#include \"step.metal\"\n":                              `k.metal:2: #include "step.metal": a kernel's text is whole`,
		"{\nthreadgroup float a[2] = {1, 2}; }":                    "k.metal:2: threadgroup memory cannot be declared so",
		"\n\nuint x [[buffer(0)":                                   "k.metal:3: [[ without ]]",
		"#/* */include </etc/passwd>\n":                            "k.metal:1: #/* */include </etc/passwd>: a kernel's text is whole",
		"#\\\ninclude </etc/passwd>\n":                             "a kernel's text is whole",
		"#include_next <metal_stdlib>\n":                           "#include_next: a kernel's text has no such directive",
		"#import <metal_stdlib>\n":                                 "#import: a kernel's text has no such directive",
		"#embed </etc/passwd>\n":                                   "#embed: a kernel's text has no such directive",
		"#define OWNED 1\n":                                        "#define OWNED: the header has a macro of that name",
		"#ifndef A\n#define OWNED 1\n#endif\n":                     "#define OWNED: the header has a macro of that name",
		"#ifndef OWNED\n#else\n#define OWNED\n":                    "k.metal:3: #define OWNED: the header has a macro of that name",
		"#ifndef OWNED\n#elif 1\n#define OWNED\n":                  "k.metal:3: #define OWNED: the header has a macro of that name",
		"#ifndef OWNED\n#endif\n#define OWNED\n":                   "k.metal:3: #define OWNED: the header has a macro of that name",
		"#endif\n#endif\n#else\n#ifdef OWNED\n#define OWNED\n":     "k.metal:5: #define OWNED: the header has a macro of that name",
		"#ifndef OWNED\n#ifndef A\n#endif\n#endif\n#define OWNED":  "k.metal:5: #define OWNED: the header has a macro of that name",
		"{\nthreadgroup float a[2],\nb; threadgroup float c{1}; }": "k.metal:3: threadgroup memory cannot be declared so",
		"{ threadgroup float a }":                                  "k.metal:1: threadgroup memory cannot be declared so",
		"/*\n*/ a [[b]]\n#error\n#warning":                         "k.metal:4: #warning: a kernel's text has no such directive",
		"#undef OWNED\n":                                           "#undef OWNED: the macro is the header's",
	} {
		_, err := clean("k.metal", text, map[string]bool{"OWNED": true})
		require.ErrorContains(t, err, want)
	}
}

// What stands around a definition is known behind conditions within it, too.
func TestGuardsOfMacros(t *testing.T) {
	for _, text := range []string{
		"#ifndef OWNED\n#define OWNED\n#endif\n", "#ifndef OWNED\n#if 1\n#endif\n#define OWNED\n#endif\n", "#ifndef OWNED\n#ifdef A\n#else\n#endif\n#define OWNED\n#endif\n",
		"#if 1\n#ifndef OWNED\n#define OWNED\n#endif\n#endif\n", "#ifndef OWNED\n#ifndef A\n#define OWNED\n#endif\n#endif\n",
	} {
		_, err := clean("k.metal", text, map[string]bool{"OWNED": true})
		require.NoError(t, err, text)
	}
}

// A kernel's macros end with it, however they are written, the header's do not.
func TestMacrosEnd(t *testing.T) {
	k := plan.Kernel{Name: "k", File: "kernels/k.metal", Threads: [3]int{1, 1, 1},
		Source: "#define K 64\n # /* */ define SQUARE(x) ((x) * (x))\n#ifndef FOUNDRY_READY\n#define FOUNDRY_READY()\n#endif\n" +
			"#ifndef FOUNDRY_UNROLL\n#define FOUNDRY_UNROLL\n#endif\nkernel void k() {}\n"}
	text, err := CPU([]*plan.Kernel{&k}, []string{"0"}, Options{})
	require.NoError(t, err)
	require.Contains(t, text, "#undef K\n#undef SQUARE\n#undef FOUNDRY_READY\n}")
}

// Whatever the text, lines stay where they are.
func FuzzClean(f *testing.F) {
	f.Add("kernel void k(device float* x [[buffer(0)]]) { threadgroup float a[2]; x[0] = 1.0; }")
	f.Add("#define A \\\n thread\n\"a\\\"b\" 'c' /* \n */ [[ [ ]]")
	f.Add("threadgroup threadgroup a[; { threadgroup a b , ; }")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := clean("k.metal", text, map[string]bool{"OWNED": true})
		if err == nil {
			require.Equal(t, strings.Count(text, "\n"), strings.Count(got.text, "\n"))
		}
	})
}
