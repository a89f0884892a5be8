package jinja

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokText
	tokOpenTag   // {%
	tokCloseTag  // %}
	tokOpenExpr  // {{
	tokCloseExpr // }}
	tokName
	tokString // text is unescaped
	tokInt
	tokFloat
	tokOp
)

type token struct {
	kind tokenKind
	text string
	line int
}

// lexer follows the rules of jinja2's lexer with trim_blocks and lstrip_blocks.
type lexer struct {
	src    string
	pos    int
	line   int
	starts bool // the last match ended a line: white space before a tag is indentation
	tokens []token
}

// lex splits a template into tokens; the last is tokEnd. Faults panic with *Error.
func lex(source string) []token {
	source = strings.ReplaceAll(source, "\r\n", "\n")
	source = strings.ReplaceAll(source, "\r", "\n")
	source = strings.TrimSuffix(source, "\n")
	l := &lexer{src: source, line: 1, starts: true}
	for l.pos < len(l.src) {
		l.text()
	}
	l.emit(tokEnd, "")
	return l.tokens
}

func (l *lexer) emit(k tokenKind, text string) { l.tokens = append(l.tokens, token{k, text, l.line}) }

func (l *lexer) fail(format string, args ...any) {
	panic(&Error{l.line, fmt.Sprintf(format, args...)})
}

// take moves over the next n bytes and returns them.
func (l *lexer) take(n int) string {
	s := l.src[l.pos : l.pos+n]
	l.pos += n
	l.line += strings.Count(s, "\n")
	l.starts = strings.HasSuffix(s, "\n")
	return s
}

func (l *lexer) rest() string { return l.src[l.pos:] }

var (
	opener   = regexp.MustCompile(`\{[{%#]`)
	rawOpen  = regexp.MustCompile(`^\{%[-+]?\s*raw\s*(-%\}\s*|%\})`)
	rawClose = regexp.MustCompile(`\{%([-+]?)\s*endraw\s*(\+%\}|-%\}\s*|%\}\n?)`)
	// What ends a tag, an expression and a comment, with the white space it takes along.
	tagClose     = regexp.MustCompile(`^(?:\+%\}|-%\}[\s\v\x1c-\x1f\x85\p{Z}]*|%\}\n?)`)
	exprClose    = regexp.MustCompile(`^(?:-\}\}[\s\v\x1c-\x1f\x85\p{Z}]*|\}\})`)
	commentClose = regexp.MustCompile(`(?:\+#\}|-#\}[\s\v\x1c-\x1f\x85\p{Z}]*|#\}\n?)`)

	floatPattern  = regexp.MustCompile(`^(?i)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)`)
	intPattern    = regexp.MustCompile(`^(?i)(?:0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*)`)
	namePattern   = regexp.MustCompile(`^[\pL\pM\pN_]+`)
	stringPattern = regexp.MustCompile(`^(?s)(?:'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")`)
)

// The operators, of two characters and of one.
var longOps = []string{"**", "//", "==", "!=", ">=", "<="}

const shortOps = "-+/*%~[](){}<>=.:|,;"

// text reads text up to the next tag, and the tag.
func (l *lexer) text() {
	at := opener.FindStringIndex(l.rest())
	if at == nil {
		l.emit(tokText, l.take(len(l.rest())))
		return
	}
	text, open := l.rest()[:at[0]], l.rest()[at[0]:at[1]]
	tag := l.rest()[at[0]:]
	sign := ""
	if behind := tag[len(open):]; strings.HasPrefix(behind, "-") || strings.HasPrefix(behind, "+") {
		sign = behind[:1]
	}
	starts := l.starts
	l.strippedText(text, sign, open != "{{", starts)
	l.take(len(text))
	if raw := rawOpen.FindString(tag); raw != "" {
		l.take(len(raw))
		l.raw()
		return
	}
	switch open {
	case "{#":
		l.take(len(open) + len(sign))
		end := commentClose.FindStringIndex(l.rest())
		if end == nil {
			l.fail("the comment is not closed: there is no #}")
		}
		l.take(end[1])
	case "{%":
		l.emit(tokOpenTag, "")
		l.take(len(open) + len(sign))
		l.inside(tokCloseTag, tagClose)
	default:
		l.emit(tokOpenExpr, "")
		l.take(len(open) + len(sign))
		l.inside(tokCloseExpr, exprClose)
	}
}

// strippedText emits the text before a tag with that sign. block says that the tag
// takes the indentation before it along.
func (l *lexer) strippedText(text, sign string, block, starts bool) {
	switch {
	case sign == "-":
		text = strings.TrimRightFunc(text, isSpace)
	case sign != "+" && block:
		begin := strings.LastIndexByte(text, '\n') + 1
		if (begin > 0 || starts) && strings.TrimLeftFunc(text[begin:], isSpace) == "" {
			text = text[:begin]
		}
	}
	if text != "" {
		l.emit(tokText, text)
	}
}

func (l *lexer) raw() {
	starts := l.starts
	end := rawClose.FindStringSubmatchIndex(l.rest())
	if end == nil {
		l.fail("the raw block is not closed: there is no endraw")
	}
	l.strippedText(l.rest()[:end[0]], l.rest()[end[2]:end[3]], true, starts)
	l.take(end[1])
}

// inside reads the tokens of a tag or an expression.
func (l *lexer) inside(closer tokenKind, closing *regexp.Regexp) {
	opened := l.line
	var brackets []byte // that close what is open
	for {
		s := l.rest()
		if s == "" {
			l.line = opened
			l.fail("the %s is not closed", map[tokenKind]string{tokCloseTag: "{%", tokCloseExpr: "{{"}[closer])
		}
		if len(brackets) == 0 {
			if end := closing.FindString(s); end != "" {
				l.emit(closer, "")
				l.take(len(end))
				return
			}
		}
		if n := len(s) - len(strings.TrimLeftFunc(s, isSpace)); n > 0 {
			l.take(n)
			continue
		}
		l.one(s, &brackets)
	}
}

// one reads one token of an expression.
func (l *lexer) one(s string, brackets *[]byte) {
	first, size := utf8.DecodeRuneInString(s)
	switch {
	case first >= '0' && first <= '9':
		behindDot := l.pos > 0 && l.src[l.pos-1] == '.'
		if m := floatPattern.FindString(s); m != "" && !behindDot {
			l.emit(tokFloat, l.take(len(m)))
		} else {
			l.emit(tokInt, l.take(len(intPattern.FindString(s))))
		}
		return
	case first == '_' || unicode.IsLetter(first):
		l.emit(tokName, l.take(len(namePattern.FindString(s))))
		return
	case first == '\'' || first == '"':
		if m := stringPattern.FindString(s); m != "" {
			l.emit(tokString, l.unescape(m[1:len(m)-1]))
			l.take(len(m))
			return
		}
	}
	m := s[:size]
	if i := slices.IndexFunc(longOps, func(op string) bool { return strings.HasPrefix(s, op) }); i >= 0 {
		m = longOps[i]
	} else if !strings.ContainsRune(shortOps, first) {
		l.fail("unexpected character %q", first)
	}
	switch m {
	case "(":
		*brackets = append(*brackets, ')')
	case "[":
		*brackets = append(*brackets, ']')
	case "{":
		*brackets = append(*brackets, '}')
	case ")", "]", "}":
		n := len(*brackets)
		if n == 0 {
			l.fail("unexpected %q", m)
		}
		if want := (*brackets)[n-1]; want != m[0] {
			l.fail("unexpected %q, want %q", m, string(want))
		}
		*brackets = (*brackets)[:n-1]
	}
	l.emit(tokOp, l.take(len(m)))
}

// simpleEscapes are the escapes of one character.
var simpleEscapes = map[byte]string{
	'n': "\n", 't': "\t", 'r': "\r", '\\': "\\", '\'': "'", '"': "\"",
	'a': "\a", 'b': "\b", 'f': "\f", 'v': "\v", '\n': "",
}

// unescape resolves the escapes of a Python string.
func (l *lexer) unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		i++
		char := s[i]
		if plain, ok := simpleEscapes[char]; ok {
			out.WriteString(plain)
			continue
		}
		digits, base := 0, 16
		switch {
		case char == 'x':
			digits = 2
		case char == 'u':
			digits = 4
		case char == 'U':
			digits = 8
		case char >= '0' && char <= '7':
			base, digits = 8, 1
			for i--; digits < 3 && i+1+digits < len(s) && s[i+1+digits] >= '0' && s[i+1+digits] <= '7'; digits++ {
			}
		case char == 'N':
			l.fail(`the escape \N{...} is not supported`)
		default:
			out.WriteByte('\\')
			out.WriteByte(char)
			continue
		}
		if i+1+digits > len(s) {
			l.fail(`the escape \%c is cut off`, char)
		}
		code, err := strconv.ParseUint(s[i+1:i+1+digits], base, 32)
		if err != nil || !utf8.ValidRune(rune(code)) {
			l.fail(`the escape \%s is no character`, s[i:i+1+digits])
		}
		out.WriteRune(rune(code))
		i += digits
	}
	return out.String()
}

// isSpace is Python's str.isspace of one character.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
