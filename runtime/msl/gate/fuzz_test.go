package gate_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/runtime/msl/gate"
	"foundry/shaders"
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
		if g.Kernel(kernelOf(t, body)) != nil {
			return
		}
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
	})
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
