package mutate

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// word is a name (with its sigil), a number, a string, or a single character of another kind.
var word = regexp.MustCompile(`[%@$]?[A-Za-z_][A-Za-z0-9_.-]*|%[0-9]+|[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?[a-z]?|"[^"\n]*"|\s+|.`)

// Text changes a text of words: numbers and names become others, one of them or all that
// are alike, lines (or, in a text of one line, what stands between commas) go, come twice
// or change places. names are words that may come in beside those that are there.
func Text(text string, names []string, c *Choices) string {
	for c.More() {
		switch c.Below(4) {
		case 0:
			text = changeLines(text, c)
		default:
			text = changeWords(text, names, c)
		}
	}
	return text
}

func changeLines(text string, c *Choices) string {
	separator := "\n"
	if !strings.Contains(text, separator) {
		separator = ","
	}
	lines := strings.Split(text, separator)
	i := c.Below(len(lines))
	switch c.Below(3) {
	case 0:
		lines = slices.Delete(lines, i, i+1)
	case 1:
		lines = slices.Insert(lines, c.Below(len(lines)), lines[i])
	default:
		j := c.Below(len(lines))
		lines[i], lines[j] = lines[j], lines[i]
	}
	return strings.Join(lines, separator)
}

// changeWords puts another word of the same kind in place of one, or of all that are alike.
func changeWords(text string, names []string, c *Choices) string {
	words := word.FindAllString(text, -1)
	var at []int
	for i, w := range words {
		if kindOf(w) != space {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return text
	}
	old := words[Of(c, at)]
	fresh := another(words, names, old, c)
	if c.Below(2) == 0 {
		i := slices.Index(words, old) + 1
		for n := c.Below(4); n > 0; n-- { // a later one
			if j := slices.Index(words[i:], old); j >= 0 {
				i += j + 1
			}
		}
		words[i-1] = fresh
	} else {
		for i, w := range words {
			if w == old {
				words[i] = fresh
			}
		}
	}
	return strings.Join(words, "")
}

type kind uint8

const (
	space kind = iota
	number
	name
	reference // a name with a sigil
	quoted
	sign
)

func kindOf(w string) kind {
	switch r := w[0]; {
	case strings.TrimSpace(w) == "":
		return space
	case r >= '0' && r <= '9':
		return number
	case r == '"' && len(w) > 1:
		return quoted
	case strings.IndexByte("%@$", r) >= 0 && len(w) > 1:
		return reference
	case r == '_' || r|0x20 >= 'a' && r|0x20 <= 'z':
		return name
	}
	return sign
}

// another returns a word that may stand where old does.
func another(words, names []string, old string, c *Choices) string {
	k := kindOf(old)
	if k == number {
		if n, err := strconv.ParseInt(old, 10, 64); err == nil && c.Below(2) == 0 {
			return strconv.FormatInt(Of(c, []int64{n + 1, n - 1, 2 * n, n / 2}), 10)
		}
		if c.Below(3) == 0 {
			return Of(c, edges)
		}
	}
	var alike []string
	for _, w := range words {
		if kindOf(w) == k && w != old {
			alike = append(alike, w)
		}
	}
	if k == name && len(names) > 0 && (len(alike) == 0 || c.Below(2) == 0) {
		return Of(c, names)
	}
	if len(alike) == 0 {
		return ""
	}
	slices.Sort(alike)
	return Of(c, slices.Compact(alike))
}
