package msl

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// Stages that kernels have alike stand once, in a space of their own: no kernel sees
// another's names. Their macros end behind the last of them; a text without stages and one
// whose function has directives stand alone.
func TestSharedStages(t *testing.T) {
	kernel := func(name, stages, own string) *plan.Kernel {
		return &plan.Kernel{Name: name, File: "kernels/" + name + ".metal", Threads: [3]int{1, 1, 1},
			Source: "// " + name + ": silu\n#include <metal_stdlib>\n" + stages + "\n// ---- kernel ----\n#line 9 \"kernels/" + name + ".metal\"\nkernel void " + name + "() { " + own + " }\n"}
	}
	const twice, other = "#define K 64\ninline uint twice(uint x) { return 2u * x; }\n", "inline uint other(uint x) { return x; }\n"
	kernels := []*plan.Kernel{
		kernel("a", twice, "twice(K);"), kernel("b", other, "other(1u);"), kernel("c", twice, "twice(1u);"),
		kernel("d", twice, "\n#define LEAKS 1\n"), {Name: "e", File: "kernels/e.metal", Threads: [3]int{1, 1, 1}, Source: "kernel void e() {}\n"},
	}
	symbols := []string{"0", "1", "2", "3", "4"}
	text, err := CPU(kernels, symbols, Options{Shared: true})
	require.NoError(t, err)
	_, text, _ = strings.Cut(text, "namespace metal { namespace foundry_kernel_3 {\n")
	alone, together, ok := strings.Cut(text, "namespace metal { namespace foundry_stages_")
	require.True(t, ok)
	require.Contains(t, alone, "#undef K\n#undef LEAKS\n} }\nnamespace metal { namespace foundry_kernel_4 {\n#line 1 \"kernels/e.metal\"\n")
	require.Equal(t, 1, strings.Count(together, "inline uint twice"))
	first, second, ok := strings.Cut(together, "namespace metal { namespace foundry_stages_")
	require.True(t, ok)
	require.Contains(t, first, "namespace foundry_kernel_0 {\n#line 9 \"kernels/a.metal\"\nstatic void a() { twice(K); }\n\n#line 1 \"entry of a\"\n}\n"+
		"namespace foundry_kernel_2 {\n#line 9 \"kernels/c.metal\"\nstatic void c() { twice(1u); }\n\n#line 1 \"entry of c\"\n}\n#undef K\n}\nnamespace foundry_kernel_0 = foundry_stages_")
	require.NotContains(t, first, "other")
	require.Contains(t, second, "inline uint other")
	require.Equal(t, 5, strings.Count(second, "extern \"C\" __attribute__((weak))"))

	kernels[2].Source += "#undef FOUNDRY_SWIZZLES2\n"
	_, err = CPU(kernels, symbols, Options{Shared: true})
	require.ErrorContains(t, err, "kernel c: kernels/c.metal:")
}
