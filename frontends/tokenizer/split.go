package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// Qwen2Pattern is the published split pattern of Qwen2 and Qwen2.5. It needs a
// look-ahead, which Go's own regexp does not have.
const Qwen2Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

// Patterns come from outside and the engine backtracks, so its time has limits: for
// one match, and for a text. The published pattern takes about a microsecond for a
// character.
const (
	matchTime     = 5 * time.Second
	textTime      = 5 * time.Second
	characterTime = 50 * time.Microsecond // on top, for each of a text
)

// splitter cuts text into the pieces that are merged separately: the matches
// of a pattern, and what lies between them.
type splitter struct {
	re       *regexp2.Regexp
	textTime time.Duration
}

func newSplitter(pattern string) (splitter, error) {
	if pattern == "" {
		return splitter{}, fmt.Errorf("the split pattern is empty")
	}
	re, err := regexp2.Compile(foldGroups(pattern), regexp2.None)
	if err != nil {
		reason := strings.Join(strings.Fields(err.Error()), " ") // it quotes the pattern, line breaks and all
		return splitter{}, fmt.Errorf("the split pattern does not compile: %s", reason)
	}
	re.MatchTimeout = matchTime
	return splitter{re, textTime}, nil
}

// deadline is when splitting a text that begins now is given up.
func (s splitter) deadline(text string) time.Time {
	return time.Now().Add(s.textTime + time.Duration(len(text))*characterTime)
}

// each calls f on every piece of text in order.
func (s splitter) each(text string, deadline time.Time, f func(piece string)) error {
	if text == "" {
		return nil
	}
	runes := []rune(text)
	if !utf8.ValidString(text) {
		text = string(runes) // so that its bytes and runes agree
	}
	at := 0 // in runes; text starts there
	piece := func(end int) {
		n := 0
		for _, r := range runes[at:end] {
			n += utf8.RuneLen(r)
		}
		if n > 0 {
			f(text[:n])
		}
		at, text = end, text[n:]
	}
	m, err := s.re.FindRunesMatch(runes)
	for ; m != nil && err == nil; m, err = s.re.FindNextMatch(m) {
		piece(m.Index)
		piece(m.Index + m.Length)
		if time.Now().After(deadline) {
			err = errors.New("the split pattern takes too long for this text")
			break
		}
	}
	if err != nil {
		return fmt.Errorf("splitting text of %d characters failed at character %d: %w", len(runes), at, err)
	}
	piece(len(runes))
	return nil
}

// foldGroups spells out the letters of groups (?i:...) that hold only letters,
// quotes and bars: in Unicode's case folding an s is also a long s, which
// regexp2's lower-casing misses.
func foldGroups(pattern string) string {
	const open = "(?i:"
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(pattern, open)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		body, after, closed := strings.Cut(rest, ")")
		if !closed || strings.ContainsFunc(body, func(r rune) bool { return r != '\'' && r != '|' && !unicode.IsLetter(r) }) {
			out.WriteString(open)
			pattern = rest
			continue
		}
		out.WriteString("(?:")
		for _, r := range body {
			if !unicode.IsLetter(r) {
				out.WriteRune(r)
				continue
			}
			out.WriteByte('[')
			out.WriteRune(r)
			for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
				out.WriteRune(other)
			}
			out.WriteByte(']')
		}
		out.WriteByte(')')
		pattern = after
	}
}
