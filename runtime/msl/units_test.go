package msl

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

var update = flag.Bool("update", false, "rewrite the expected units in testdata")

// unitKernels are one of each kind that an entry is written for in a way of its own.
func unitKernels() []*plan.Kernel {
	all := []plan.Builtin{plan.ThreadgroupPosition, plan.ThreadgroupsPerGrid, plan.ThreadPosition, plan.ThreadIndex, plan.SimdgroupIndex, plan.LaneIndex}
	kernel := func(name, body string, threads [3]int, bytes ...int) *plan.Kernel {
		k := &plan.Kernel{Name: name, File: "kernels/" + name + ".metal", Threads: threads, Builtins: []plan.Builtin{plan.LaneIndex},
			Slots:  []plan.Slot{{Name: "x", Type: "float", Space: "device", Access: plan.Read}, {Name: "step", Type: "uint", Space: "constant", Access: plan.Read}},
			Source: "#include <metal_stdlib>\n#define K 4\nkernel void " + name + "() {\n    " + body + "\n}\n"}
		for i, n := range bytes {
			k.Threadgroup = append(k.Threadgroup, plan.ThreadgroupArg{Name: fmt.Sprint("part", i), Type: "float", Bytes: n})
		}
		return k
	}
	plain := kernel("plain", "FOUNDRY_READY();", [3]int{256, 1, 1}, 64, 32, 16)
	plain.Builtins = all
	waits := kernel("waits_at_its_entry", "", [3]int{8, 4, 2})
	deep := kernel("deep", "", [3]int{8, 1, 2})
	unordered := kernel("unordered", "", [3]int{64, 2, 1}, 8)
	unordered.Main = plan.WeightExpansion
	last := kernel("starts_last", "FOUNDRY_READY();", [3]int{128, 1, 1})
	last.Main = plan.AttentionTiles
	shared := kernel("two_share_registers", "FOUNDRY_READY();", [3]int{128, 1, 1}, plan.MaxThreadgroupBytes/2)
	shared.Matrices, shared.Main = 1, plan.ProductMatrices
	alone := kernel("alone", "FOUNDRY_READY();", [3]int{128, 1, 1}, plan.MaxThreadgroupBytes/2, 16)
	alone.Matrices = 1
	none := kernel("takes_nothing", "", [3]int{1, 1, 1})
	none.Slots, none.Builtins = nil, nil
	return []*plan.Kernel{plain, waits, deep, unordered, last, shared, alone, none}
}

// TestUnits holds what is written around kernels, for either platform: entries, their
// arguments in order, where shared memory begins, how many threadgroups share registers,
// who waits where, and what ends with a kernel. The header stands before it once.
func TestUnits(t *testing.T) {
	kernels := unitKernels()
	var symbols []string
	for i := range kernels {
		symbols = append(symbols, fmt.Sprint("s", i))
	}
	var got strings.Builder
	add := func(name, text string, err error, parts ...string) {
		t.Helper()
		require.NoError(t, err)
		head, rest, ok := strings.Cut(text, signature)
		require.True(t, ok)
		for _, p := range parts {
			before, behind, ok := strings.Cut(head, part(p))
			require.True(t, ok, "%s has %s, in its order", name, p)
			require.NotContains(t, before, "#line", "only %s", p)
			head = strings.Replace(before, "\n", " ", -1) + behind
		}
		require.NotContains(t, strings.TrimSuffix(head, "#line 1 \"signature\"\n"), "#line")
		fmt.Fprintf(&got, "-- %s --\n%s", name, rest)
	}
	text, err := CPU(kernels, symbols, Options{})
	require.NotContains(t, text[:30], "CHECKED")
	add("cpu", text, err, cpuParts...)
	text, err = CPU(kernels[:1], symbols, Options{Checked: true})
	require.True(t, strings.HasPrefix(text, "#define FOUNDRY_CHECKED 1\n"))
	add("cpu, checked", text, err, cpuParts...)
	text = CPUTable(symbols[:2])
	require.True(t, strings.HasPrefix(text, ABI()))
	fmt.Fprintf(&got, "-- table --\n%s-- no table --\n%s", strings.TrimPrefix(text, ABI()), strings.TrimPrefix(CPUTable(nil), ABI()))
	text, err = CUDA(Free, kernels[:5]...)
	add("cuda", text, err, cudaParts...)
	text, err = CUDA(Weighed, kernels[:1]...)
	add("cuda, registers weighed", text, err, cudaParts...)
	text, err = CUDA(Free, kernels[5:]...)
	add("cuda, matrices", text, err, append(append([]string(nil), cudaParts...), cudaMatrixParts...)...)
	if *update {
		require.NoError(t, os.WriteFile("testdata/units.txt", []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile("testdata/units.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())

	broken := *kernels[0]
	broken.Source += "#undef FOUNDRY_SWIZZLES2\n"
	for _, unit := range []func() (string, error){
		func() (string, error) { return CPU([]*plan.Kernel{&broken}, symbols, Options{}) },
		func() (string, error) { return CUDA(Free, &broken) },
	} {
		_, err = unit()
		require.ErrorContains(t, err, "kernel plain: kernels/plain.metal:6: #undef FOUNDRY_SWIZZLES2: the macro is the header's")
	}
}

// Vectors have the members that texts name, up to their own width.
func TestNamed(t *testing.T) {
	text := named([]*plan.Kernel{{Source: "a.xy = b.wzyx; zx xyzwx axy = max(exp(x), expx)"}, {Source: "c.zz + c.xy + c.x; fast::exp(x); fma"}})
	require.Equal(t, `#define FOUNDRY_VECTOR_FUNCTIONS FOUNDRY_MATH1(exp) FOUNDRY_MATH2(max) FOUNDRY_MATH3(fma)
#define FOUNDRY_SWIZZLES2 foundry_swizzle<vec<T, 2>, T, 2, 0, 1> xy;
#define FOUNDRY_SWIZZLES3 foundry_swizzle<vec<T, 2>, T, 3, 0, 1> xy; foundry_swizzle<vec<T, 2>, T, 3, 2, 0> zx; foundry_swizzle<vec<T, 2>, T, 3, 2, 2> zz;
#define FOUNDRY_SWIZZLES4 foundry_swizzle<vec<T, 4>, T, 4, 3, 2, 1, 0> wzyx; foundry_swizzle<vec<T, 2>, T, 4, 0, 1> xy; foundry_swizzle<vec<T, 2>, T, 4, 2, 0> zx; foundry_swizzle<vec<T, 2>, T, 4, 2, 2> zz;
`, text)
}

// A header's macros are the names behind #define, to the first character of none.
func TestMacrosOfAHeader(t *testing.T) {
	require.Equal(t, map[string]bool{"A": true, "aZ_09": true, "F": true, "G": true},
		macros("#define A 1\n#define aZ_09\t2\n#define F(x) x\n# define NOT\n //#define NOT\n#define G\n"))
}

// Threadgroup arguments lie behind each other in one piece of shared memory.
func TestSharedBytes(t *testing.T) {
	require.Zero(t, SharedBytes(&plan.Kernel{}))
	require.Equal(t, 48, SharedBytes(&plan.Kernel{Threadgroup: []plan.ThreadgroupArg{{Bytes: 16}, {Bytes: 32}}}))
}
