package msl

import "strings"

// lex cuts text into tokens whose concatenation is the text: words, numbers,
// runs of white space, comments, literals, whole preprocessor lines, `[[`, `]]`
// where it closes one, and single characters.
func lex(text string) []string {
	var toks []string
	lineStart, attributes := true, 0
	for len(text) > 0 {
		n := tokenLength(text, lineStart)
		t := text[:n]
		switch {
		case t == "[[":
			attributes++
		case t == "]" && attributes > 0 && strings.HasPrefix(text, "]]"):
			t = "]]"
			attributes--
		}
		toks = append(toks, t)
		lineStart = strings.HasSuffix(t, "\n") || lineStart && isBlank(t)
		text = text[len(t):]
	}
	return toks
}

func tokenLength(s string, lineStart bool) int {
	switch {
	case s[0] == '#' && lineStart:
		return directiveLength(s)
	case strings.HasPrefix(s, "//"):
		return until(s, "\n", 0)
	case strings.HasPrefix(s, "/*"):
		return until(s, "*/", 2)
	case s[0] == '"' || s[0] == '\'':
		return literalLength(s)
	case isSpace(s[0]):
		n := 1
		for n < len(s) && isSpace(s[n]) && s[n-1] != '\n' {
			n++
		}
		return n
	case isDigit(s[0]) || s[0] == '.' && len(s) > 1 && isDigit(s[1]):
		return numberLength(s)
	case isLetter(s[0]):
		n := 1
		for n < len(s) && (isLetter(s[n]) || isDigit(s[n])) {
			n++
		}
		return n
	case strings.HasPrefix(s, "[["):
		return 2
	}
	return 1
}

// until is the length up to end, and extra bytes of it.
func until(s, end string, extra int) int {
	i := strings.Index(s[extra:], end)
	if i < 0 {
		return len(s)
	}
	return i + 2*extra
}

// directiveLength includes continued lines and the last line's end.
func directiveLength(s string) int {
	n := 0
	for {
		i := strings.IndexByte(s[n:], '\n')
		if i < 0 {
			return len(s)
		}
		n += i + 1
		if !strings.HasSuffix(strings.TrimRight(s[:n-1], "\r"), "\\") {
			return n
		}
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

// isFloatLiteral: a number with a point or an exponent and no suffix.
func isFloatLiteral(t string) bool {
	if !isDigit(t[0]) && (t[0] != '.' || len(t) < 2) {
		return false
	}
	last := t[len(t)-1]
	if strings.HasPrefix(t, "0x") || strings.HasPrefix(t, "0X") {
		return strings.ContainsAny(t, "pP") && isDigit(last)
	}
	return strings.ContainsAny(t, ".eE") && (isDigit(last) || last == '.')
}

func isBlank(t string) bool {
	return isSpace(t[0]) || strings.HasPrefix(t, "//") || strings.HasPrefix(t, "/*")
}

func isWord(t string) bool { return isLetter(t[0]) }

// blank is t with everything but line ends made a space.
func blank(t string) string {
	b := []byte(t)
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
