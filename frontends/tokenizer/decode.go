package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Decode returns the text of ids, added tokens spelled out. Bytes that are no
// UTF-8 become U+FFFD, one for each maximal broken sequence. An id without a
// token is an error.
func (t *Tokenizer) Decode(ids []int32) (string, error) {
	d := t.NewDecoder()
	var out strings.Builder
	for _, id := range ids {
		text, err := d.Next(id)
		if err != nil {
			return "", err
		}
		out.WriteString(text)
	}
	out.WriteString(d.Flush())
	return out.String(), nil
}

// Decoder turns ids into text one at a time. What its calls return, joined, is
// what Decode returns for all ids.
type Decoder struct {
	t    *Tokenizer
	tail string // the bytes so far of an unfinished character
}

// NewDecoder returns a decoder at the start of a text.
func (t *Tokenizer) NewDecoder() *Decoder { return &Decoder{t: t} }

// Next returns the text that id completes, which is empty while a character's
// bytes are still to come.
func (d *Decoder) Next(id int32) (string, error) {
	if id < 0 || int(id) >= len(d.t.tokens) {
		return "", fmt.Errorf("token id %d is outside the vocabulary: ids go from 0 to %d", id, len(d.t.tokens)-1)
	}
	token := d.t.tokens[id]
	if token == "" {
		return "", fmt.Errorf("token id %d has no token: the vocabulary has a gap there", id)
	}
	text, tail := wholeText(d.tail + token)
	d.tail = tail
	return text, nil
}

// Flush ends the text and returns what an unfinished character leaves: U+FFFD,
// or nothing.
func (d *Decoder) Flush() string {
	if d.tail == "" {
		return ""
	}
	d.tail = ""
	return string(utf8.RuneError)
}

// wholeText splits b into text, with broken sequences replaced, and a tail that may
// be the start of a character.
func wholeText(b string) (text, tail string) {
	var out strings.Builder
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRuneInString(b[i:])
		if r != utf8.RuneError || n > 1 {
			out.WriteString(b[i : i+n])
			i += n
			continue
		}
		n, open := brokenPrefix(b[i:])
		if open {
			return out.String(), b[i:]
		}
		out.WriteRune(utf8.RuneError)
		i += n
	}
	return out.String(), ""
}

// brokenPrefix measures the bytes at the start of b, which hold no character,
// that could begin one: the maximal part that Unicode's practice replaces as
// one. open says that b ends there, so that the character may yet come.
func brokenPrefix(b string) (n int, open bool) {
	var want int
	low, high := byte(0x80), byte(0xbf)
	switch c := b[0]; {
	case c >= 0xc2 && c <= 0xdf:
		want = 2
	case c >= 0xe0 && c <= 0xef:
		want = 3
		if c == 0xe0 {
			low = 0xa0 // no overlong forms
		} else if c == 0xed {
			high = 0x9f // no surrogates
		}
	case c >= 0xf0 && c <= 0xf4:
		want = 4
		if c == 0xf0 {
			low = 0x90
		} else if c == 0xf4 {
			high = 0x8f // nothing above U+10FFFF
		}
	default:
		return 1, false
	}
	for n = 1; n < want; n++ {
		if n == len(b) {
			return n, true
		}
		if b[n] < low || b[n] > high {
			return n, false
		}
		low, high = 0x80, 0xbf
	}
	return n, false
}
