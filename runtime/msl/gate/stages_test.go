package gate

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/runtime/msl/lex"
)

func sorted(s map[string]bool) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if s[name] {
			out = append(out, name)
		}
	}
	return out
}

// What a stage file declares at its top is what bodies may name: not what stands within
// functions, types and arguments, but an enumeration's values.
func TestDeclared(t *testing.T) {
	for _, c := range []struct {
		name, text                          string
		types, functions, values, templates []string
	}{
		{"a function", "inline float f(uint a) { uint b = 1u; g(b); return float(b); }", nil, []string{"f"}, nil, nil},
		{"functions one behind the other", "void f();\nvoid g() {}\nvoid h() {}", nil, []string{"f", "g", "h"}, nil, nil},
		{"a template", "template <uint N, typename T> T f(T a) { return a; }\nvoid g() {}", nil, []string{"f", "g"}, nil, []string{"f"}},
		{"a template of a template", "template <typename A = B<C<uint>>> void f() {}", nil, []string{"f"}, nil, []string{"f"}},
		{"a template's declaration", "template <uint N> void f();\nvoid g();", nil, []string{"f", "g"}, nil, []string{"f"}},
		{"one name, both", "template <uint N> void f();\nvoid f();\nvoid g();\ntemplate <uint N> void g();", nil, []string{"f", "g"}, nil, []string{"f", "g"}},
		{"a template and a struct of its name", "template <uint N> struct S { };\nstruct S<1> { };", []string{"S"}, nil, nil, []string{"S"}},
		{"a struct", "struct S { uint a; enum { X }; float f() { return 1.0f; } static constexpr constant uint N = 4u; };\nvoid g() {}", []string{"S"}, []string{"g"}, nil, nil},
		{"a struct's template", "template <uint N> struct S { uint a; };\nstruct U { uint a; };", []string{"S", "U"}, nil, nil, []string{"S"}},
		{"a typedef", "typedef half2 pair;\nconstant uint N = 2u;\nvoid f();", []string{"pair"}, []string{"f"}, []string{"N"}, nil},
		{"an alias", "using A = vec<half, 2>;\nusing B = float;\nconstant uint N = 1u;", []string{"A", "B"}, nil, []string{"N"}, nil},
		{"an alias that is a template", "template <uint N> using A = vec<half, N>;\nusing B = uint;", []string{"A", "B"}, nil, nil, []string{"A"}},
		{"constants", "constant float A = 1.0f;\nconstexpr constant uint B = A + 1u, C[2] = {1u, 2u};", nil, nil, []string{"A", "B"}, nil},
		{"an enumeration", "enum { A, B = 4u, C = f(D) };\nuint E;\nconstant uint F = 1u;", nil, []string{}, []string{"A", "B", "C", "F"}, nil},
		{"what stands behind an enumeration", "enum { A };\nvoid f() { g(h, i); { j, k; } }", nil, []string{"f"}, []string{"A"}, nil},
		{"directives and comments", "#define f(x) g(x)\n// h(x)\n/* i(x) */\nvoid j() {}", nil, []string{"j"}, nil, nil},
		{"a bracket that calls nothing", "(void)f;\nvoid g() {}", nil, []string{"g"}, nil, nil},
		{"nothing", "", nil, nil, nil, nil},
	} {
		got := declared(c.text)
		require.ElementsMatch(t, c.types, sorted(got.types), "types of %s", c.name)
		require.ElementsMatch(t, c.functions, sorted(got.functions), "functions of %s", c.name)
		require.ElementsMatch(t, c.values, sorted(got.values), "values of %s", c.name)
		require.ElementsMatch(t, c.templates, sorted(got.templates), "templates of %s", c.name)
		for _, tok := range lex.Cut(c.text) {
			require.Equal(t, tok.Kind == lex.Word, got.words[tok.Text], "%s: %s", c.name, tok.Text)
		}
	}
}

// The angle that closes is the one at the depth of the first; where none does, the text ends.
func TestAfterAngles(t *testing.T) {
	for text, want := range map[string]int{"<a>b": 2, "<a<b>,c>d": 7, "<<>>": 3, "<a<b>": 5, "<": 1, "": 0, "a<b>c>": 3} {
		require.Equal(t, want, afterAngles(lex.Cut(text), 0), text)
	}
	require.Equal(t, 6, afterAngles(lex.Cut("<a>b<c>"), 4))
}

// A value is as wide as its elements, those of 64 bits twice; types of stage files count once.
func TestWidth(t *testing.T) {
	for word, want := range map[string]uint64{
		"float": 1, "float2": 2, "half3": 3, "uchar4": 4, "long": 2, "ulong": 2, "size_t": 2, "long2": 4, "ulong4": 8, "Own3": 1, "float5": 1, "float1": 1, "size_t2": 1, "2": 1, "": 1,
	} {
		require.Equal(t, want, width(word), word)
	}
	for word, want := range map[string]bool{"float": true, "float2": true, "float4": true, "float1": false, "float5": false, "size_t": true, "size_t2": false, "3": false, "": false, "Own": false} {
		require.Equal(t, want, isType(word), word)
	}
}
