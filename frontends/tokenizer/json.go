package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// file is tokenizer.json as far as it bears on ids. What it may say and this
// package does not do is refused by check, so nothing is ignored that would
// change an id.
type file struct {
	AddedTokens   []fileAdded    `json:"added_tokens"`
	Normalizer    *filePart      `json:"normalizer"`
	PreTokenizer  *preTokenizer  `json:"pre_tokenizer"`
	PostProcessor *postProcessor `json:"post_processor"`
	Decoder       *filePart      `json:"decoder"`
	Model         *fileModel     `json:"model"`
}

type fileAdded struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// filePart is a normalizer or a decoder.
type filePart struct {
	Type        string      `json:"type"`
	Normalizers []*filePart `json:"normalizers"`
}

type fileModel struct {
	Type            string           `json:"type"`
	Dropout         *float64         `json:"dropout"`
	UnkToken        *string          `json:"unk_token"`
	SubwordPrefix   string           `json:"continuing_subword_prefix"`
	EndOfWordSuffix string           `json:"end_of_word_suffix"`
	ByteFallback    bool             `json:"byte_fallback"`
	IgnoreMerges    bool             `json:"ignore_merges"`
	Vocab           map[string]int32 `json:"vocab"`
	Merges          []fileMerge      `json:"merges"`
}

// fileMerge is "a b" in older files and ["a", "b"] in newer ones.
type fileMerge [2]string

func (m *fileMerge) UnmarshalJSON(b []byte) error {
	if b[0] == '[' {
		var pair []string
		if err := json.Unmarshal(b, &pair); err != nil {
			return err
		}
		if len(pair) != 2 {
			return fmt.Errorf("a merge joins two tokens, not %d", len(pair))
		}
		*m = fileMerge(pair)
		return nil
	}
	var joined string
	if b[0] == '"' && !bytes.Contains(b, []byte(`\`)) { // nearly all of them: nothing to unescape
		joined = string(b[1 : len(b)-1])
	} else if err := json.Unmarshal(b, &joined); err != nil {
		return err
	}
	left, right, found := strings.Cut(joined, " ")
	if !found || strings.Contains(right, " ") {
		return fmt.Errorf("merge %q is not two tokens with a space between", joined)
	}
	*m = fileMerge{left, right}
	return nil
}

func parseSpec(tokenizerJSON []byte) (Spec, error) {
	var f file
	if err := unmarshal(jsonFile, tokenizerJSON, &f); err != nil {
		return Spec{}, err
	}
	spec, err := f.spec()
	if err != nil {
		return Spec{}, fmt.Errorf("%s: %w", jsonFile, err)
	}
	return spec, nil
}

// unmarshal reads the JSON of the named file; the error is one line.
func unmarshal(name string, raw []byte, into any) error {
	err := json.Unmarshal(raw, into)
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return fmt.Errorf("%s is not JSON: %w", name, err)
	}
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return fmt.Errorf("%s: %s cannot be of JSON type %s", name, cmp.Or(wrong.Field, "the file"), wrong.Value)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (f *file) spec() (Spec, error) {
	var s Spec
	if f.Model == nil {
		return s, fmt.Errorf("there is no model")
	}
	vocab, err := f.Model.vocabulary()
	if err != nil {
		return s, fmt.Errorf("model: %w", err)
	}
	s.Vocab, s.IgnoreMerges = vocab, f.Model.IgnoreMerges
	s.Merges = make([][2]string, len(f.Model.Merges))
	for i, m := range f.Model.Merges {
		s.Merges[i] = m
	}
	for _, a := range f.AddedTokens {
		added, err := a.added()
		if err != nil {
			return s, err
		}
		s.Added = append(s.Added, added)
	}
	if s.NFC, err = f.Normalizer.nfc(); err != nil {
		return s, err
	}
	if s.Splits, err = f.PreTokenizer.splits(); err != nil {
		return s, err
	}
	if s.Prefix, s.Suffix, err = f.PostProcessor.endTokens(); err != nil {
		return s, err
	}
	if d := f.Decoder; d == nil || d.Type != "ByteLevel" {
		return s, fmt.Errorf("the decoder must be ByteLevel")
	}
	return s, nil
}

func (a fileAdded) added() (Added, error) {
	if a.SingleWord || a.LStrip || a.RStrip {
		return Added{}, fmt.Errorf("added token %q: single_word, lstrip and rstrip are not supported", a.Content)
	}
	return Added{a.ID, a.Content, a.Special, a.Normalized}, nil
}

// vocabulary returns the tokens by id.
func (m *fileModel) vocabulary() ([]string, error) {
	switch {
	case m.Type != "BPE":
		return nil, fmt.Errorf("type %q is not supported (BPE is)", m.Type)
	case len(m.Vocab) == 0:
		return nil, fmt.Errorf("there is no vocab")
	case m.Dropout != nil && *m.Dropout != 0:
		return nil, fmt.Errorf("dropout is not supported")
	case m.UnkToken != nil || m.ByteFallback:
		return nil, fmt.Errorf("unk_token and byte_fallback are not supported: every byte must be a token")
	case m.SubwordPrefix != "" || m.EndOfWordSuffix != "":
		return nil, fmt.Errorf("continuing_subword_prefix and end_of_word_suffix are not supported")
	}
	top := int32(-1)
	for token, id := range m.Vocab {
		// A little room for gaps; a wild id must not allocate a wild table.
		if id < 0 || int(id) >= 2*len(m.Vocab)+1024 {
			return nil, fmt.Errorf("token %q has id %d in a vocabulary of %d", token, id, len(m.Vocab))
		}
		if token == "" {
			return nil, fmt.Errorf("token %d is empty", id)
		}
		top = max(top, id)
	}
	out := make([]string, top+1)
	for token, id := range m.Vocab {
		if out[id] != "" {
			return nil, fmt.Errorf("tokens %q and %q both have id %d", min(token, out[id]), max(token, out[id]), id)
		}
		out[id] = token
	}
	return out, nil
}

// nfc reads the normalizer: none, NFC, or a sequence of just these.
func (p *filePart) nfc() (bool, error) {
	if p == nil {
		return false, nil
	}
	switch p.Type {
	case "NFC":
		return true, nil
	case "Sequence":
		any := false
		for _, part := range p.Normalizers {
			is, err := part.nfc()
			if err != nil {
				return false, err
			}
			any = any || is
		}
		return any, nil
	}
	return false, fmt.Errorf("normalizer %q is not supported (none or NFC is)", p.Type)
}
