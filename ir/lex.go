package ir

import (
	"fmt"
	"strconv"
	"strings"
)

type tokenKind uint8

const (
	tokEOF    tokenKind = iota
	tokWord             // letters, digits, _ and . : names, numbers, ranges
	tokString           // a quoted string, its text unquoted
	tokPunct            // one other character
)

func (k tokenKind) String() string {
	return [...]string{"the end of the file", "a name", "a quoted string", "punctuation"}[k]
}

type token struct {
	kind      tokenKind
	text      string
	line, col int
	pos       int // offset in the text
}

func (t token) String() string {
	if t.kind == tokEOF {
		return t.kind.String()
	}
	return strconv.Quote(t.text)
}

type lexer struct {
	file, text string
	pos        int
	line, col  int
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.'
}

func (l *lexer) advance(n int) {
	for ; n > 0 && l.pos < len(l.text); n-- {
		if l.text[l.pos] == '\n' {
			l.line++
			l.col = 0
		}
		l.pos++
		l.col++
	}
}

func (l *lexer) skipSpace() {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			l.advance(1)
		case strings.HasPrefix(l.text[l.pos:], "//"):
			end := strings.IndexByte(l.text[l.pos:], '\n')
			if end < 0 {
				end = len(l.text) - l.pos
			}
			l.advance(end)
		default:
			return
		}
	}
}

func (l *lexer) next() (token, error) {
	l.skipSpace()
	t := token{line: l.line, col: l.col, pos: l.pos}
	if l.pos == len(l.text) {
		return t, nil
	}
	rest := l.text[l.pos:]
	switch {
	case isWordByte(rest[0]):
		n := 1
		for n < len(rest) && (isWordByte(rest[n]) || (rest[n] == '-' || rest[n] == '+') && isExponent(rest[:n])) {
			n++
		}
		t.kind, t.text = tokWord, rest[:n]
		l.advance(n)
	case rest[0] == '"':
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return t, fmt.Errorf("%s:%d:%d: this string has no end", l.file, t.line, t.col)
		}
		if t.text, err = strconv.Unquote(quoted); err != nil {
			return t, fmt.Errorf("%s:%d:%d: bad string %s", l.file, t.line, t.col, quoted)
		}
		t.kind = tokString
		l.advance(len(quoted))
	default:
		t.kind, t.text = tokPunct, rest[:1]
		l.advance(1)
	}
	return t, nil
}

// isExponent reports whether word is a number up to its e, so that a sign may follow.
func isExponent(word string) bool {
	last := word[len(word)-1]
	return (last == 'e' || last == 'E') && word[0] >= '0' && word[0] <= '9'
}

// bracketed returns the text from the opening bracket at open to its end.
func (l *lexer) bracketed(open token) (string, error) {
	if open.kind != tokPunct || open.text != "[" {
		return "", fmt.Errorf("%s:%d:%d: want a shape such as [T,896], have %s", l.file, open.line, open.col, open)
	}
	end := strings.IndexAny(l.text[open.pos:], "]\n")
	if end < 0 || l.text[open.pos+end] != ']' {
		return "", fmt.Errorf("%s:%d:%d: this bracket is not closed on its line", l.file, open.line, open.col)
	}
	text := l.text[open.pos : open.pos+end+1]
	l.advance(open.pos + end + 1 - l.pos)
	return text, nil
}

// attrValue returns the text up to the comma or brace that ends it; the lexer
// stands behind the equals sign.
func (l *lexer) attrValue() (start token, text string, err error) {
	l.skipSpace()
	start = token{kind: tokWord, line: l.line, col: l.col, pos: l.pos}
	rest := l.text[l.pos:]
	if strings.HasPrefix(rest, `"`) {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return start, "", fmt.Errorf("%s:%d:%d: this string has no end", l.file, start.line, start.col)
		}
		l.advance(len(quoted))
		return start, quoted, nil
	}
	depth := 0
	for i := range len(rest) {
		switch c := rest[i]; {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == '\n' || depth == 0 && (c == ',' || c == '}'):
			l.advance(i)
			return start, strings.TrimSpace(rest[:i]), nil
		}
	}
	return start, "", fmt.Errorf("%s:%d:%d: this attr has no end", l.file, start.line, start.col)
}
