// Package msl turns a plan's kernels, Metal Shading Language text, into C++ that
// other compilers take: g++ and clang for the CPU, NVRTC for NVIDIA GPUs.
//
// Three things make it work. A header of our own is the metal_stdlib (include/):
// types, mathematics, simdgroups, atomics, matrices; shared parts and a part for
// each platform. A lexical step removes what C++ has no word for, attributes and
// address spaces, and keeps every line where it was, so that errors point into
// the kernel's text. An entry point is generated from the kernel's declared
// signature. Nothing parses foreign MSL.
//
// The text of a kernel lands in a namespace of its own, nested in metal.
//
// Read next: foundry/runtime/cpu, which compiles and runs the result.
package msl

import (
	"embed"
	"strings"
	"sync"

	"foundry/lower/plan"
)

//go:embed include
var include embed.FS

// The parts of the header in order, for each platform.
var (
	cpuParts = []string{"abi.h", "platform_cpu.h", "types.h", "math.h", "vector.h", "convert_cpu.h",
		"simd_cpu.h", "simd.h", "atomic.h", "matrix_cpu.h", "tensor_cpu.h"}
	cudaParts = []string{"platform_cuda.h", "types.h", "math.h", "vector.h",
		"simd_cuda.h", "simd.h", "atomic.h", "matrix_cuda.h", "tile_cuda.h", "levels_cuda.h"}
	// Behind them, where kernels multiply blocks by matrix units.
	cudaMatrixParts = []string{"wgmma_cuda.h", "tensor_cuda.h"}
)

// ABI is the C interface between the CPU executor, the kernels it runs and the
// hosts that call it.
func ABI() string { return part("abi.h") }

func part(name string) string {
	b, err := include.ReadFile("include/" + name)
	if err != nil {
		panic("msl: " + err.Error()) // the list above names an embedded file
	}
	return "#line 1 \"metal_stdlib/" + name + "\"\n" + string(b)
}

// header is what stands before the kernels of a unit.
func header(parts []string, kernels []*plan.Kernel) string {
	var b strings.Builder
	b.WriteString(named(kernels))
	for _, p := range parts {
		b.WriteString(part(p))
	}
	b.WriteString("#line 1 \"signature\"\n" + signature)
	return b.String()
}

// cpuHeader is the header without what kernels name, and its macros: a hundred kernels have
// a text each, for their keys.
var cpuHeader = sync.OnceValues(func() (text string, owned map[string]bool) {
	whole := header(cpuParts, nil)
	return strings.TrimPrefix(whole, named(nil)), macros(whole)
})

// macros are the names that a header's text defines as macros.
func macros(text string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "#define "); ok {
			out[rest[:strings.IndexFunc(rest, notInName)]] = true
		}
	}
	return out
}

func notInName(r rune) bool {
	return !(r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
}

// signature is what the entry points use: the type of a kernel's n-th parameter,
// and an argument made of an address for it.
const signature = `namespace metal {
template <int I, class F> struct foundry_parameter;
template <class R, class A, class... B> struct foundry_parameter<0, R(A, B...)> { typedef A type; };
template <int I, class R, class A, class... B>
struct foundry_parameter<I, R(A, B...)> : foundry_parameter<I - 1, R(B...)> {};
template <class F> struct foundry_arity;
template <class R, class... A> struct foundry_arity<R(A...)> { static constexpr int value = sizeof...(A); };
template <class A> struct foundry_argument {
    static_assert(sizeof(A) == 0, "a buffer or threadgroup parameter is a pointer or a reference");
};
template <class A> struct foundry_argument<A*> {
    static inline A* of(void* p) { return (A*)p; }
    static inline A* of(const void* p) { return (A*)p; }
};
template <class A> struct foundry_argument<A&> {
    static inline A& of(void* p) { return *(A*)p; }
    static inline A& of(const void* p) { return *(A*)p; }
};
}
`
