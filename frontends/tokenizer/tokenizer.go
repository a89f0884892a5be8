// Package tokenizer turns text into token ids and ids into text: byte-level
// byte-pair encoding as Qwen2.5 publishes it in tokenizer.json, or in vocab.json and
// merges.txt.
//
// Text goes through six steps: added tokens such as <|im_start|> are cut out
// (added.go), the rest is normalised to NFC, split into pieces by the published
// patterns (split.go), each piece's bytes are merged by rank (bpe.go), the ids are
// joined, and those that begin and end a text are put around them (postprocess.go).
// Decoding is a table of bytes per id; a Decoder emits text as ids arrive and never
// cuts a UTF-8 sequence (decode.go).
//
// What is a letter and a number, and what NFC makes of a text, is read from Go's tables
// of Unicode, of version 15.0 (unicode.Version). Hugging Face's tokenizers have newer ones
// for the first and older ones for the second, so a text with characters that came to
// Unicode since can be cut otherwise there: 1 of 60,000 random texts of all characters.
//
// Read next: files.go for the files of a model, json.go for the form of tokenizer.json,
// foundry/frontends/chat for conversations, and package runtime/engine, where
// text, ids and sessions meet.
package tokenizer

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/text/unicode/norm"
)

// Spec is all that defines a tokenizer. Vocab and Merges are spelled in the
// byte-level alphabet of GPT-2, where every byte is a printable character.
type Spec struct {
	Vocab  []string // tokens by id; "" where no token has the id
	Merges [][2]string
	Added  []Added
	Splits []Split // expressions that cut text into pieces, one after the other
	NFC    bool    // Unicode's normal form C, before anything else
	// IgnoreMerges takes a piece that is a token as that token, whatever the
	// merges would make of it.
	IgnoreMerges bool
	// Prefix and Suffix are the ids that begin and end every text.
	Prefix, Suffix []int32
}

// Added is a token that is found in text as it stands, before all else.
type Added struct {
	ID      int32
	Content string
	Special bool // a control token, no text of the model's
	// Normalized says that the token is found in normalised text, after all others.
	Normalized bool
}

// Tokenizer encodes and decodes. It is immutable and safe for concurrent use.
type Tokenizer struct {
	tokens  []string // bytes by id; "" where no token has the id
	ids     map[string]int32
	special map[int32]bool
	added   matcher
	late    matcher // added tokens that are looked for in normalised text
	splits  []splitter
	bpe     merger
	nfc     bool
	whole   bool // whole tokens first, as Spec.IgnoreMerges

	prefix, suffix []int32
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
	if len(s.Splits) == 0 {
		return nil, fmt.Errorf("there is no split pattern")
	}
	for _, split := range s.Splits {
		one, err := newSplitter(split)
		if err != nil {
			return nil, err
		}
		t.splits = append(t.splits, one)
	}
	if err := t.add(s.Added); err != nil {
		return nil, err
	}
	for _, id := range slices.Concat(s.Prefix, s.Suffix) {
		if id < 0 || int(id) >= len(t.tokens) || t.tokens[id] == "" {
			return nil, fmt.Errorf("the id %d that begins or ends every text is no token", id)
		}
	}
	t.prefix, t.suffix = s.Prefix, s.Suffix
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
		if a.Normalized {
			if t.nfc {
				a.Content = norm.NFC.String(a.Content)
			}
			t.late.add(a)
		} else {
			t.added.add(a)
		}
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

// Specials lists the control tokens in the order of their ids.
func (t *Tokenizer) Specials() []int32 { return slices.Sorted(maps.Keys(t.special)) }

// Encode returns the ids of a text, with those that begin and end every text where the
// model has such; added tokens in it are recognised. Bytes that are not UTF-8 are read
// as U+FFFD. The error is that of a split pattern that takes too long.
func (t *Tokenizer) Encode(text string) ([]int32, error) {
	ids, err := t.EncodePart(text)
	if err != nil || len(t.prefix)+len(t.suffix) == 0 {
		return ids, err
	}
	return slices.Concat(t.prefix, ids, t.suffix), nil
}

// EncodePart is Encode without the ids that begin and end a text: for text that goes
// on, and for prompts that a chat template rendered, which hold them.
func (t *Tokenizer) EncodePart(text string) ([]int32, error) {
	e := encoder{t: t, seen: map[string][]int32{}, deadline: deadline(t.splits, text)}
	if err := e.splitAtAdded(&t.added, text, e.encodeNormalised); err != nil {
		return nil, err
	}
	return e.ids, nil
}

// encoder is the state of one Encode call.
type encoder struct {
	t    *Tokenizer
	ids  []int32
	seen map[string][]int32 // merged pieces by text, since pieces recur
	work mergeWork

	deadline time.Time // the last moment for splitting all of the text
}

// splitAtAdded enters the added tokens that m finds in text, and what f makes of the rest.
func (e *encoder) splitAtAdded(m *matcher, text string, f func(string) error) error {
	for text != "" {
		begin, end, id := m.find(text)
		if err := f(text[:begin]); err != nil {
			return err
		}
		if end > begin {
			e.ids = append(e.ids, id)
		}
		text = text[end:]
	}
	return nil
}

// encodeNormalised encodes text without added tokens other than those of normalised text.
func (e *encoder) encodeNormalised(text string) error {
	if e.t.nfc {
		text = norm.NFC.String(text)
	}
	return e.splitAtAdded(&e.t.late, text, e.encodeText)
}

// encodeText encodes text without added tokens.
func (e *encoder) encodeText(text string) error {
	return cut(e.t.splits, text, e.deadline, func(piece string) {
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
