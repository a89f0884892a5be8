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

// United, kernels share what they have alike of stages that differ, in an order that is each
// one's own order too; where there is none, and behind another preamble, they stand apart.
func TestUnitedStages(t *testing.T) {
	text := map[string]string{
		"load":  "#define K 64\ninline uint load(uint x) { return x; }\n",
		"twice": "inline uint twice(uint x) { return 2u * load(x); }\n",
		"rope":  "inline uint rope(uint x) { return load(x); }\n",
		"cache": "inline uint cache(uint x) { return x; }\n",
	}
	kernel := func(name, preamble string, stages ...string) *plan.Kernel {
		source := "// " + name + ": text\n#include <metal_stdlib>\n" + preamble
		for _, s := range stages {
			source += plan.StageBanner + s + " ----\n" + text[s]
		}
		return &plan.Kernel{Name: name, File: "kernels/" + name + ".metal", Threads: [3]int{1, 1, 1}, Source: source + plan.FunctionBanner + "kernel void " + name + "() { }\n"}
	}
	kernels := []*plan.Kernel{
		kernel("a", "", "load", "rope"), kernel("b", "", "load", "twice", "cache"), kernel("c", "", "rope", "load"), kernel("d", "", "cache", "rope"),
		kernel("e", "using namespace metal;\n", "load"), kernel("f", "", "load", "rope"), kernel("g", ""),
	}
	symbols := []string{"a", "b", "c", "d", "e", "f", "g"}
	families := func(o Options) (out []string) {
		unit, err := CPU(kernels, symbols, o)
		require.NoError(t, err)
		for i, f := range strings.Split(unit, "namespace metal { namespace foundry_stages_") {
			if i == 0 {
				continue
			}
			var words []string
			for _, line := range strings.Split(f, "\n") {
				if name, ok := strings.CutPrefix(line, "// ---- "); ok {
					words = append(words, strings.TrimSuffix(name, " ----"))
				} else if name, ok := strings.CutPrefix(line, "namespace foundry_kernel_"); ok && strings.HasSuffix(name, "{") {
					words = append(words, name[:1])
				}
			}
			out = append(out, strings.Join(words, " "))
		}
		return out
	}
	// d's order is that of its first family's with what b brought, too: cache before rope.
	require.Equal(t, []string{"load twice cache rope a b d f g", "rope load c", "load e"}, families(Options{Shared: true, United: true}))
	require.Equal(t, []string{"load rope a f", "load twice cache b", "rope load c", "cache rope d", "load e", "g"}, families(Options{Shared: true}))
}
