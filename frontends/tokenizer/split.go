package tokenizer

import (
	"cmp"
	"context"
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

// Split is one step of cutting text into pieces.
type Split struct {
	Pattern string // the published expression: Qwen2Pattern
	// MatchesOnly drops what lies between the matches.
	MatchesOnly bool
}

// splitter cuts text into the pieces that are merged separately: the matches
// of a pattern, and what lies between them.
type splitter struct {
	re          *regexp2.Regexp
	matchesOnly bool
	textTime    time.Duration
}

func newSplitter(s Split) (splitter, error) {
	if s.Pattern == "" {
		return splitter{}, fmt.Errorf("the split pattern is empty")
	}
	re, err := regexp2.Compile(foldGroups(s.Pattern), regexp2.None)
	if err != nil {
		reason := strings.Join(strings.Fields(err.Error()), " ") // it quotes the pattern, line breaks and all
		return splitter{}, fmt.Errorf("the split pattern does not compile: %s", reason)
	}
	re.MatchTimeout = matchTime
	return splitter{re, s.MatchesOnly, textTime}, nil
}

// deadline is when splitting a text that begins now is given up.
func deadline(splits []splitter, text string) time.Time {
	var most time.Duration
	for _, s := range splits {
		most += s.textTime + time.Duration(len(text))*characterTime
	}
	return time.Now().Add(most)
}

// cut calls f on the pieces that the splitters cut, each from the pieces of the one
// before.
func cut(splits []splitter, text string, deadline time.Time, f func(piece string)) error {
	if len(splits) == 1 {
		return splits[0].each(text, deadline, f)
	}
	var failed error
	err := splits[0].each(text, deadline, func(piece string) {
		if failed == nil {
			failed = cut(splits[1:], piece, deadline, f)
		}
	})
	return cmp.Or(err, failed)
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
	piece := func(end int, wanted bool) {
		n := 0
		for _, r := range runes[at:end] {
			n += utf8.RuneLen(r)
		}
		if n > 0 && wanted {
			f(text[:n])
		}
		at, text = end, text[n:]
	}
	m, err := s.re.FindRunesMatch(runes)
	for ; m != nil && err == nil; m, err = s.re.FindNextMatch(m) {
		piece(m.Index, !s.matchesOnly)
		piece(m.Index+m.Length, true)
		if time.Now().After(deadline) {
			err = context.DeadlineExceeded
			break
		}
	}
	if err != nil { // regexp2 has no other than that a match took too long, and repeats the whole text in it
		return fmt.Errorf("splitting text of %d characters failed at character %d: the split pattern takes too long for this text", len(runes), at)
	}
	piece(len(runes), !s.matchesOnly)
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
