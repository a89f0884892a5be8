package names

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain returns text from a file as it may stand in a line for people: characters that
// control a terminal, line breaks and tabs among them, and bytes that are no UTF-8 are
// spelled as Go's strings spell them.
func Plain(s string) string { return spell(s, "") }

// PlainText is Plain for text of several lines: line breaks and tabs stay.
func PlainText(s string) string { return spell(s, "\n\t") }

func spell(s, allowed string) string {
	if strings.IndexFunc(s, func(r rune) bool { return controls(r) && !strings.ContainsRune(allowed, r) }) < 0 {
		return s
	}
	var b strings.Builder
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1, controls(r) && r != utf8.RuneError && !strings.ContainsRune(allowed, r):
			quoted := strconv.QuoteToASCII(s[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// controls reports whether r may be one that a terminal acts on: control characters,
// those that turn the direction of writing, and what stands for a byte that is none.
func controls(r rune) bool {
	return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == utf8.RuneError
}

// Line is fmt.Fprintf of text for people in which each string among the arguments
// stands as Plain makes it.
func Line(w io.Writer, format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = Plain(s)
		}
	}
	fmt.Fprintf(w, format, args...)
}
