package lex

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCut(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []Token
	}{
		{"words and numbers", "a1 .5e-3+0x1p-2", []Token{{Word, "a1"}, {Space, " "}, {Number, ".5e-3"}, {Mark, "+"}, {Number, "0x1p-2"}}},
		{"comments", "/* [[ */// x\n", []Token{{Comment, "/* [[ */"}, {Comment, "// x"}, {Space, "\n"}}},
		{"a comment that goes on", "// x \\ \nint\n", []Token{{Comment, "// x \\ \nint"}, {Space, "\n"}}},
		{"a comment that ends within its beginning", "/*/ x", []Token{{Comment, "/*/ x"}}},
		{"a directive behind a comment", "/* */ #define A \\\n b\nc", []Token{{Comment, "/* */"}, {Space, " "}, {Directive, "#define A \\\n b\n"}, {Word, "c"}}},
		{"no directive", "a # b", []Token{{Word, "a"}, {Space, " "}, {Mark, "#"}, {Space, " "}, {Word, "b"}}},
		{"literals", `"a\"[[" 'c'`, []Token{{Literal, `"a\"[["`}, {Space, " "}, {Literal, "'c'"}}},
		{"attributes", "[[a]]b[c[0]]", []Token{{Mark, "[["}, {Word, "a"}, {Mark, "]]"}, {Word, "b"}, {Mark, "["}, {Word, "c"}, {Mark, "["}, {Number, "0"}, {Mark, "]"}, {Mark, "]"}}},
		{"letters to their ends", "azAZ_09 \x80\xff", []Token{{Word, "azAZ_09"}, {Space, " "}, {Word, "\x80\xff"}}},
		{"what is next to letters", "a@b[c`d{e/f:g~\x7f", []Token{{Word, "a"}, {Mark, "@"}, {Word, "b"}, {Mark, "["}, {Word, "c"}, {Mark, "`"}, {Word, "d"}, {Mark, "{"}, {Word, "e"}, {Mark, "/"}, {Word, "f"}, {Mark, ":"}, {Word, "g"}, {Mark, "~"}, {Mark, "\x7f"}}},
		{"spaces to the end of a line", " \t\r\f\v\n\n x", []Token{{Space, " \t\r\f\v\n"}, {Space, "\n"}, {Space, " "}, {Word, "x"}}},
		{"signs of exponents", "1e+5-2 1E-5 1+e 0x1e+5 0X1P+5 0x1p-5f", []Token{{Number, "1e+5"}, {Mark, "-"}, {Number, "2"}, {Space, " "}, {Number, "1E-5"}, {Space, " "}, {Number, "1"}, {Mark, "+"}, {Word, "e"}, {Space, " "},
			{Number, "0x1e"}, {Mark, "+"}, {Number, "5"}, {Space, " "}, {Number, "0X1P+5"}, {Space, " "}, {Number, "0x1p-5f"}}},
		{"points", ". .5 5. a.5 ..", []Token{{Mark, "."}, {Space, " "}, {Number, ".5"}, {Space, " "}, {Number, "5."}, {Space, " "}, {Word, "a"}, {Number, ".5"}, {Space, " "}, {Mark, "."}, {Mark, "."}}},
		{"literals that stay open", "\"a\n'b\\'", []Token{{Literal, "\"a"}, {Space, "\n"}, {Literal, "'b\\'"}}},
		{"an escape at the end", `"a\`, []Token{{Literal, `"a\`}}},
		{"a block that stays open", "/* a", []Token{{Comment, "/* a"}}},
		{"a block of nothing", "/**/x", []Token{{Comment, "/**/"}, {Word, "x"}}},
		{"a line at the end", "// a", []Token{{Comment, "// a"}}},
		{"directives", "#a\n  #b\\\n c\nx #d", []Token{{Directive, "#a\n"}, {Space, "  "}, {Directive, "#b\\\n c\n"}, {Word, "x"}, {Space, " "}, {Mark, "#"}, {Word, "d"}}},
		{"a directive at the end", "#a", []Token{{Directive, "#a"}}},
		{"brackets of none", "a]]b", []Token{{Word, "a"}, {Mark, "]"}, {Mark, "]"}, {Word, "b"}}},
		{"two attributes", "[[a]][[b]]]]", []Token{{Mark, "[["}, {Word, "a"}, {Mark, "]]"}, {Mark, "[["}, {Word, "b"}, {Mark, "]]"}, {Mark, "]"}, {Mark, "]"}}},
	} {
		require.Equal(t, c.want, Cut(c.text), c.name)
	}
}

// What is hidden leaves its lines.
func TestHide(t *testing.T) {
	require.Equal(t, "   \n  \n", Hide("a \t\n{}\n"))
	require.True(t, Token{Space, " "}.Blank())
	require.True(t, Token{Comment, "//"}.Blank())
	require.False(t, Token{Word, "a"}.Blank())
}

// Whatever the text, tokens are the text.
func FuzzCut(f *testing.F) {
	f.Add("kernel void k(device float* x [[buffer(0)]]) { x[0] = 1.0; }")
	f.Add("#define A \\\n thread\n\"a\\\"b\" 'c' /* \n */ [[ [ ]]")
	f.Fuzz(func(t *testing.T, text string) {
		var b strings.Builder
		for _, tok := range Cut(text) {
			require.NotEmpty(t, tok.Text)
			b.WriteString(tok.Text)
		}
		require.Equal(t, text, b.String())
	})
}

// Numbers without a suffix that C++ holds double are told from all others.
func TestFloat(t *testing.T) {
	for text, want := range map[string]bool{
		"1.0": true, "1.": true, ".5": true, "1e3": true, "1E3": true, "1.5e-3": true, "1.0f": false, "1.f": false, "1e3f": false, "1": false, "1u": false,
		"0x1p3": true, "0X1P3": true, "0x1.8p3": true, "0x1p3f": false, "0x1e": false, "0x1.8": false, "0xE1": false, "0X3E5": false,
	} {
		require.Equal(t, want, Token{Number, text}.Float(), text)
	}
	require.False(t, Token{Word, "e5"}.Float())
}

func TestHasDirective(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "a = 1;\n": false, "#line 3 \"x\"\nb": false, "// #define a\n": false,
		"a\n#define b 1\n": true, "#line 1 \"x\"\n#if 1\n#endif\n": true, "  #undef a\n": true,
	} {
		require.Equal(t, want, HasDirective(text), text)
	}
}
