package gate_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/irgen"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/runtime/msl/gate"
	"foundry/shaders"
	"foundry/tests/mutate"
)

// What no accepted body has outside its comments, said without the gate's grammar.
var never = regexp.MustCompile(`[#"'\\$@` + "`" + `\x00-\x09\x0b-\x1f\x7f-\xff]|\[\[|__|\?\?|/\*|\b_|<%|%>|<:|:>|%:|` +
	`(?i:\bfoundry_(?:[^ru]|r[^e]|u[^n]))|\b(?:asm|static|extern|template|typedef|struct|union|enum|namespace|using|operator|` +
	`goto|new|delete|throw|try|catch|virtual|friend|class|register|thread_local|typeof|decltype|auto|volatile|mutable|` +
	`sizeof|alignof|switch|case|do|inline|explicit|export|this|thread|constant|kernel|system|printf|abort|malloc)\b`)

// FuzzBody holds what the gate accepts against rules that do not know its grammar: a
// text that never leaves the function's braces and has nothing of what never lists.
func FuzzBody(f *testing.F) {
	f.Add(good)
	for _, text := range hostileBodies {
		if len(text) < 1000 {
			f.Add(text)
			f.Add("const uint T = step.T;\n" + text + "\n")
		}
	}
	g := gate.New()
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > 8<<10 {
			t.Skip("too long to learn from")
		}
		if g.Kernel(kernelOf(t, body)) == nil {
			holdBody(t, body)
		}
	})
}

// holdBody holds a body that the gate has accepted against never, and its braces.
func holdBody(t *testing.T, body string) {
	t.Helper()
	depth := 0
	for line := range strings.Lines(body) {
		require.True(t, strings.HasSuffix(line, "\n"), "the function's brace stands in the last line")
		code, _, _ := strings.Cut(line, "//")
		if m := never.FindString(code); m != "" {
			t.Fatalf("accepted with %q: %q", m, line)
		}
		for _, c := range code {
			switch c {
			case '{':
				depth++
			case '}':
				depth--
			}
			require.GreaterOrEqual(t, depth, 0, "accepted a body that closes its function")
		}
	}
	require.Zero(t, depth)
}

// FuzzNearlyBody is FuzzBody on kernels of lowering that are changed in few places.
func FuzzNearlyBody(f *testing.F) {
	kernels := lowered(f)
	words := []string{"static", "asm", "goto", "sizeof", "thread", "device", "threadgroup", "constant", "auto", "float", "half", "uint", "ulong", "if", "else",
		"for", "while", "do", "return", "break", "continue", "simd_sum", "load4", "step", "group", "FOUNDRY_UNROLL", "FOUNDRY_READY", "_Pragma", "__asm__"}
	for i := range byte(64) {
		f.Add(i, []byte{})
		f.Add(i, []byte{i, i * 7, i * 13, i * 29, i * 31, i})
	}
	g := gate.New()
	f.Fuzz(func(t *testing.T, which byte, choices []byte) {
		k := kernels[int(which)%len(kernels)]
		text, err := k.Split(shaders.FS)
		require.NoError(t, err)
		text.Body = mutate.Text(text.Body, words, mutate.From(choices))
		k.Source = text.Join(&k)
		if g.Kernel(&k) == nil {
			holdBody(t, text.Body)
		}
	})
}

// lowered returns short kernels of random graphs, of each main stage a few.
func lowered(t testing.TB) []plan.Kernel {
	x, err := target.Find(target.Default)
	require.NoError(t, err)
	p, err := passes.Variant("default")
	require.NoError(t, err)
	var out []plan.Kernel
	count := map[plan.Main]int{}
	for seed := range uint64(12) {
		g := irgen.Graph(seed)
		if p.Run(g, &passes.Context{Target: x, Lowerable: metal.NewChoices(x).Lowerable}) != nil {
			continue // of operations that no kernel is for
		}
		o := metal.Options{Target: x, Model: plan.Model{Name: "gate", Layers: 9, Context: int(g.Bounds.SMax)}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}}
		made, err := metal.Compile([]metal.Entry{{Name: "g", Graph: g}}, o)
		require.NoError(t, err)
		for _, k := range made.Kernels {
			text, err := k.Split(shaders.FS)
			require.NoError(t, err)
			if len(text.Body) < 3000 && count[k.Main] < 6 {
				count[k.Main]++
				out = append(out, k)
			}
		}
	}
	require.Greater(t, len(out), 20)
	return out
}

// FuzzKernel gives the gate a whole file; it never accepts one that is not the
// file of that body.
func FuzzKernel(f *testing.F) {
	f.Add(kernelOf(f, good).Source)
	f.Add("// k: x\n#include <metal_stdlib>\nusing namespace metal;\n")
	g := gate.New()
	f.Fuzz(func(t *testing.T, source string) {
		k := kernelOf(t, good)
		k.Source = source
		text, err := k.Split(shaders.FS)
		if g.Kernel(k) != nil {
			return
		}
		require.NoError(t, err)
		require.Equal(t, source, text.Join(k))
	})
}
