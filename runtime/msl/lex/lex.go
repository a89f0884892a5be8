// Package lex cuts Metal text into tokens, for all that read it before a compiler
// does: the gate, the step to C++ and the rules of the strict check.
package lex

import "strings"

// Kind is what a token is.
type Kind uint8

// The kinds of tokens.
const (
	Space     Kind = iota // a run of white space, to the end of the line at most
	Comment               // // without its line end, or /* */
	Word                  // identifier or keyword
	Number                // a preprocessing number, signs of its exponent included
	Literal               // a string or a character
	Directive             // a preprocessor line, continued ones and the line end included
	Mark                  // `[[`, `]]` where it closes one, or a single character
)

// Token is a piece of the text.
type Token struct {
	Kind Kind
	Text string
}

// Blank reports whether t only separates tokens.
func (t Token) Blank() bool { return t.Kind == Space || t.Kind == Comment }

// Cut cuts text into tokens whose concatenation is the text.
func Cut(text string) []Token {
	toks := make([]Token, 0, len(text)/3)
	lineStart, attributes := true, 0
	for len(text) > 0 {
		kind, n := next(text, lineStart)
		t := text[:n]
		switch {
		case t == "[[":
			attributes++
		case t == "]" && attributes > 0 && strings.HasPrefix(text, "]]"):
			t = "]]"
			attributes--
		}
		toks = append(toks, Token{kind, t})
		lineStart = strings.HasSuffix(t, "\n") || lineStart && (kind == Space || kind == Comment)
		text = text[len(t):]
	}
	return toks
}

// next returns the first token of s.
func next(s string, lineStart bool) (Kind, int) {
	switch {
	case s[0] == '#' && lineStart:
		return Directive, lineLength(s, true)
	case strings.HasPrefix(s, "//"):
		return Comment, lineLength(s, false)
	case strings.HasPrefix(s, "/*"):
		return Comment, blockLength(s)
	case s[0] == '"' || s[0] == '\'':
		return Literal, literalLength(s)
	case isSpace(s[0]):
		n := 1
		for n < len(s) && isSpace(s[n]) && s[n-1] != '\n' {
			n++
		}
		return Space, n
	case isDigit(s[0]) || s[0] == '.' && len(s) > 1 && isDigit(s[1]):
		return Number, numberLength(s)
	case isLetter(s[0]):
		n := 1
		for n < len(s) && (isLetter(s[n]) || isDigit(s[n])) {
			n++
		}
		return Word, n
	case strings.HasPrefix(s, "[["):
		return Mark, 2
	}
	return Mark, 1
}

// blockLength is the length of a /* */ comment, of the whole text where it stays
// open.
func blockLength(s string) int {
	if i := strings.Index(s[2:], "*/"); i >= 0 {
		return i + 4
	}
	return len(s)
}

// lineLength is the length of a line with those that backslashes join to it, the
// last one's end included where withEnd is set. Compilers join lines whose
// backslash white space follows, too.
func lineLength(s string, withEnd bool) int {
	n := 0
	for {
		i := strings.IndexByte(s[n:], '\n')
		if i < 0 {
			return len(s)
		}
		n += i
		if !strings.HasSuffix(strings.TrimRight(s[:n], " \t\r\f\v"), "\\") {
			if withEnd {
				n++
			}
			return n
		}
		n++
	}
}

func literalLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i + 1
		case '\n':
			return i
		}
	}
	return len(s)
}

func numberLength(s string) int {
	hex := strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X")
	n := 1
	for n < len(s) {
		c := s[n]
		sign := (c == '+' || c == '-') && (!hex && (s[n-1] == 'e' || s[n-1] == 'E') || hex && (s[n-1] == 'p' || s[n-1] == 'P'))
		if !isLetter(c) && !isDigit(c) && c != '.' && !sign {
			break
		}
		n++
	}
	return n
}

// Float reports whether t is a number with a point or an exponent and no suffix.
func (t Token) Float() bool {
	if t.Kind != Number {
		return false
	}
	last := t.Text[len(t.Text)-1]
	if strings.HasPrefix(t.Text, "0x") || strings.HasPrefix(t.Text, "0X") {
		return strings.ContainsAny(t.Text, "pP") && isDigit(last)
	}
	return strings.ContainsAny(t.Text, ".eE") && (isDigit(last) || last == '.')
}

// HasDirective reports whether text has a preprocessor line other than one that only says
// where what follows stands.
func HasDirective(text string) bool {
	for _, t := range Cut(text) {
		if t.Kind == Directive && !strings.HasPrefix(t.Text, "#line ") {
			return true
		}
	}
	return false
}

// Hide returns s with everything but line ends made a space.
func Hide(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c != '\n' {
			b[i] = ' '
		}
	}
	return string(b)
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'
}
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isLetter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
