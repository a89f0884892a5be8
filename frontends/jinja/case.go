package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// Python's cases are Unicode's full ones: the capital of ß is SS. Package strings has
// the simple ones, which are the same for ASCII.

func upper(s string) string {
	if ascii(s) {
		return strings.ToUpper(s)
	}
	return cases.Upper(language.Und).String(s)
}

func lower(s string) string {
	if ascii(s) {
		return strings.ToLower(s)
	}
	return cases.Lower(language.Und).String(s)
}

// titleCase is what one character becomes at the start of a word.
func titleCase(c rune) string { return cases.Title(language.Und).String(string(c)) }

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c >= utf8.RuneSelf })
}

// capitalized is Python's str.capitalize.
func capitalized(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return ""
	}
	return titleCase(first) + lower(s[size:])
}

// titled is Python's str.title: a letter behind one is small.
func titled(s string) string {
	inWord := false
	return eachRune(s, func(c rune) string {
		was := inWord
		inWord = unicode.IsLetter(c)
		if was {
			return lower(string(c))
		}
		return titleCase(c)
	})
}

// wordsTitled is the filter title: words begin behind white space, dashes and opening
// brackets.
func wordsTitled(s string) string {
	begins := true
	return eachRune(s, func(c rune) string {
		starts := begins
		begins = isSpace(c) || strings.ContainsRune("-({[<", c)
		if starts {
			return upper(string(c))
		}
		return lower(string(c))
	})
}

func eachRune(s string, f func(rune) string) string {
	var out strings.Builder
	for _, c := range s {
		out.WriteString(f(c))
	}
	return out.String()
}

// cased says that s has a character of the wanted case and none of the other.
func (r *run) cased(s string, want, other func(rune) bool) bool {
	r.read(2 * len(s))
	return strings.ContainsFunc(s, want) && !strings.ContainsFunc(s, func(c rune) bool { return other(c) || unicode.IsTitle(c) })
}
