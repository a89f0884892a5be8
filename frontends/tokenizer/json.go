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
	AddedTokens   []fileAdded `json:"added_tokens"`
	Normalizer    *filePart   `json:"normalizer"`
	PreTokenizer  *filePart   `json:"pre_tokenizer"`
	PostProcessor *filePart   `json:"post_processor"`
	Decoder       *filePart   `json:"decoder"`
	Model         *fileModel  `json:"model"`
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

// filePart is a normalizer, pre-tokenizer, post-processor or decoder.
type filePart struct {
	Type           string      `json:"type"`
	Normalizers    []*filePart `json:"normalizers"`
	Pretokenizers  []*filePart `json:"pretokenizers"`
	Pattern        filePattern `json:"pattern"`
	Behavior       string      `json:"behavior"`
	Invert         bool        `json:"invert"`
	AddPrefixSpace bool        `json:"add_prefix_space"`
	UseRegex       *bool       `json:"use_regex"` // absent means true
}

type filePattern struct {
	Regex string `json:"Regex"`
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
	if b[0] == '"' && bytes.IndexByte(b, '\\') < 0 { // nearly all of them: nothing to unescape
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

// Parse reads a tokenizer.json. Errors are one line and name the part of the
// file; the caller knows its path.
func Parse(tokenizerJSON []byte) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(tokenizerJSON, &f); err != nil {
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			return nil, fmt.Errorf("tokenizer.json is not JSON: %w", err)
		}
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			return nil, fmt.Errorf("tokenizer.json: %s cannot be of JSON type %s", cmp.Or(wrong.Field, "the file"), wrong.Value)
		}
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	spec, err := f.spec()
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	t, err := New(spec)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return t, nil
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
		if a.SingleWord || a.LStrip || a.RStrip || a.Normalized {
			return s, fmt.Errorf("added token %q: single_word, lstrip, rstrip and normalized are not supported", a.Content)
		}
		s.Added = append(s.Added, Added{a.ID, a.Content, a.Special})
	}
	if s.NFC, err = f.Normalizer.nfc(); err != nil {
		return s, err
	}
	if s.Pattern, err = f.PreTokenizer.pattern(); err != nil {
		return s, err
	}
	if p := f.PostProcessor; p != nil && p.Type != "ByteLevel" { // which moves offsets only
		return s, fmt.Errorf("post_processor %q is not supported (none or ByteLevel is)", p.Type)
	}
	if d := f.Decoder; d == nil || d.Type != "ByteLevel" {
		return s, fmt.Errorf("the decoder must be ByteLevel")
	}
	return s, nil
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

// pattern reads the pre-tokenizer: a Split by a pattern, then ByteLevel.
func (p *filePart) pattern() (string, error) {
	const want = "want a Sequence of Split (a Regex, Isolated) and ByteLevel (without add_prefix_space and use_regex)"
	if p == nil {
		return "", fmt.Errorf("there is no pre_tokenizer: %s", want)
	}
	if p.Type != "Sequence" || len(p.Pretokenizers) != 2 || p.Pretokenizers[0] == nil || p.Pretokenizers[1] == nil {
		return "", fmt.Errorf("pre_tokenizer %q is not supported: %s", p.Type, want)
	}
	split, level := p.Pretokenizers[0], p.Pretokenizers[1]
	if split.Type != "Split" || split.Behavior != "Isolated" || split.Invert || split.Pattern.Regex == "" {
		return "", fmt.Errorf("the first pre_tokenizer is not supported: %s", want)
	}
	if level.Type != "ByteLevel" || level.AddPrefixSpace || level.UseRegex == nil || *level.UseRegex {
		return "", fmt.Errorf("the second pre_tokenizer is not supported: %s", want)
	}
	return split.Pattern.Regex, nil
}
