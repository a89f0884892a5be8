package graphviz

import (
	_ "embed"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Script is the script that draws in browsers, and that holds the module.
//
//go:embed vizjs/viz-global.js
var Script string

// module returns the module of WebAssembly that stands in the script as a literal of
// characters, each a byte: what the script's own decoder makes of it.
func module(script string) ([]byte, error) {
	const before, after = `return t}('`, `')}`
	_, literal, found := strings.Cut(script, before)
	if !found || !strings.HasPrefix(literal, `\0asm`) {
		return nil, errors.New("graphviz: the script has no module where it is looked for")
	}
	var out []byte
	for len(literal) > 0 && literal[0] != '\'' {
		c, size := utf8.DecodeRuneInString(literal)
		literal = literal[size:]
		if c == '\\' {
			var err error
			if c, literal, err = escaped(literal); err != nil {
				return nil, err
			}
		}
		// The decoder takes the low byte of a character, and zero for those from 256 on
		// (its ~c >> 8 is then even): the encoder writes zero so.
		if c >= 256 {
			c = 0
		}
		out = append(out, byte(c))
	}
	if !strings.HasPrefix(literal, after) {
		return nil, errors.New("graphviz: the module in the script has no end")
	}
	return out, nil
}

// escaped reads what follows a backslash in a script's literal.
func escaped(s string) (c rune, rest string, err error) {
	if s == "" {
		return 0, "", errors.New("graphviz: the module in the script ends in a backslash")
	}
	digits := map[byte]int{'x': 2, 'u': 4}[s[0]]
	if digits > 0 && len(s) > digits {
		n, err := strconv.ParseUint(s[1:1+digits], 16, 16)
		return rune(n), s[1+digits:], err
	}
	if i := strings.IndexByte(`0bfnrtv`, s[0]); i >= 0 {
		return rune("\x00\b\f\n\r\t\v"[i]), s[1:], nil
	}
	c, size := utf8.DecodeRuneInString(s)
	return c, s[size:], nil
}
