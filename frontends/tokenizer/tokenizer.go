// Package tokenizer turns text into token ids and ids into text: byte-level
// byte-pair encoding as Qwen2.5 publishes it in tokenizer.json.
//
// Text goes through five steps: added tokens such as <|im_start|> are cut out
// (added.go), the rest is normalised to NFC, split into pieces by the published
// pattern (split.go), each piece's bytes are merged by rank (bpe.go), and the
// ids are joined. Decoding is a table of bytes per id; a Decoder emits text as
// ids arrive and never cuts a UTF-8 sequence (decode.go).
//
// Read next: json.go for the file's form, chat.go for conversations, and
// package runtime/engine, where text, ids and sessions meet.
package tokenizer

import (
	"fmt"
	"time"

	"golang.org/x/text/unicode/norm"
)

// Spec is all that defines a tokenizer. Vocab and Merges are spelled in the
// byte-level alphabet of GPT-2, where every byte is a printable character.
type Spec struct {
	Vocab   []string // by id; "" where no token has the id
	Merges  [][2]string
	Added   []Added
	Pattern string // splits text into pieces, as published: Qwen2Pattern
	NFC     bool   // normalise text first
	// IgnoreMerges takes a piece that is a token as that token, whatever the
	// merges would make of it.
	IgnoreMerges bool
}

// Added is a token that is found in text as it stands, before all else.
type Added struct {
	ID      int32
	Content string
	Special bool // a control token, no text of the model's
}

// Tokenizer encodes and decodes. It is immutable and safe for concurrent use.
type Tokenizer struct {
	tokens  []string // bytes by id; "" where no token has the id
	ids     map[string]int32
	special map[int32]bool
	added   matcher
	split   splitter
	bpe     merger
	nfc     bool
	whole   bool // Spec.IgnoreMerges
}

// New checks a specification and builds its tokenizer.
func New(s Spec) (*Tokenizer, error) {
	t := &Tokenizer{
		tokens:  make([]string, len(s.Vocab)),
		ids:     make(map[string]int32, len(s.Vocab)),
		special: map[int32]bool{},
		nfc:     s.NFC,
		whole:   s.IgnoreMerges,
	}
	for id, spelled := range s.Vocab {
		if spelled == "" {
			continue
		}
		token := unspell(spelled)
		if other, twice := t.ids[token]; twice {
			return nil, fmt.Errorf("tokens %d and %d of the vocabulary are both %q", other, id, spelled)
		}
		t.tokens[id], t.ids[token] = token, int32(id)
	}
	var err error
	if t.bpe, err = newMerger(t.ids, s.Merges); err != nil {
		return nil, err
	}
	if t.split, err = newSplitter(s.Pattern); err != nil {
		return nil, err
	}
	if err := t.add(s.Added); err != nil {
		return nil, err
	}
	return t, nil
}

// add enters the added tokens, some of which the vocabulary may hold already.
func (t *Tokenizer) add(added []Added) error {
	for _, a := range added {
		limit := 2*(len(t.tokens)+len(added)) + 1024
		switch {
		case a.Content == "":
			return fmt.Errorf("added token %d has no content", a.ID)
		case a.ID < 0 || int(a.ID) >= limit:
			return fmt.Errorf("added token %q has id %d, far from the vocabulary of %d", a.Content, a.ID, len(t.tokens))
		}
		for int(a.ID) >= len(t.tokens) {
			t.tokens = append(t.tokens, "")
		}
		if old := t.tokens[a.ID]; old != "" && old != a.Content {
			return fmt.Errorf("added token %q has id %d, which is already %q", a.Content, a.ID, old)
		}
		if id, known := t.ids[a.Content]; known && id != a.ID {
			return fmt.Errorf("added token %q has the ids %d and %d", a.Content, id, a.ID)
		}
		t.tokens[a.ID], t.ids[a.Content] = a.Content, a.ID
		if a.Special {
			t.special[a.ID] = true
		}
		t.added.add(a)
	}
	return nil
}

// Size is one more than the greatest id. A model's vocabulary may be larger,
// padded with ids that are no tokens.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// ID returns the id of a token given as plain text, such as <|im_end|>.
func (t *Tokenizer) ID(content string) (int32, bool) {
	id, ok := t.ids[content]
	return id, ok
}

// Special reports whether id is a control token.
func (t *Tokenizer) Special(id int32) bool { return t.special[id] }

// Encode returns the ids of text; added tokens in it are recognised. Bytes that
// are not UTF-8 are read as U+FFFD. The error is that of a split pattern that
// takes too long.
func (t *Tokenizer) Encode(text string) ([]int32, error) {
	e := encoder{t: t, seen: map[string][]int32{}, deadline: t.split.deadline(text)}
	for text != "" {
		begin, end, id := t.added.find(text)
		if err := e.plain(text[:begin]); err != nil {
			return nil, err
		}
		if end > begin {
			e.ids = append(e.ids, id)
		}
		text = text[end:]
	}
	return e.ids, nil
}

// encoder is the state of one Encode call.
type encoder struct {
	t    *Tokenizer
	ids  []int32
	seen map[string][]int32 // pieces recur; merging each once is enough
	work mergeWork

	deadline time.Time // of splitting all of the text
}

// plain encodes text without added tokens.
func (e *encoder) plain(text string) error {
	if e.t.nfc {
		text = norm.NFC.String(text)
	}
	return e.t.split.each(text, e.deadline, func(piece string) {
		ids, ok := e.seen[piece]
		if !ok {
			start := len(e.ids)
			if id, isToken := e.t.ids[piece]; e.t.whole && isToken {
				e.ids = append(e.ids, id)
			} else {
				e.ids = e.t.bpe.merge(e.ids, piece, &e.work)
			}
			e.seen[piece] = e.ids[start:len(e.ids):len(e.ids)]
			return
		}
		e.ids = append(e.ids, ids...)
	})
}
