package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"foundry/ir/names"
)

// The files that a tokenizer may lie in.
const (
	jsonFile   = "tokenizer.json"
	configFile = "tokenizer_config.json"
	vocabFile  = "vocab.json"
	mergesFile = "merges.txt"
)

// Read builds a model's tokenizer from its files: tokenizer.json or, where there is
// none, vocab.json and merges.txt, and tokenizer_config.json, which may name more added
// tokens. What begins and ends a text is said by the post_processor of tokenizer.json
// alone where that file is, by add_bos_token and add_eos_token of the configuration
// where it is not: as transformers 5 has it. file returns a file; its error wraps fs.ErrNotExist where there is none, and so does that
// of Read where none of them is.
func Read(file func(name string) ([]byte, error)) (*Tokenizer, error) {
	c, err := readConfig(file)
	if err != nil {
		return nil, err
	}
	from := jsonFile
	var spec Spec
	raw, err := file(jsonFile)
	if err == nil {
		spec, err = parseSpec(raw)
	} else if errors.Is(err, fs.ErrNotExist) {
		from = vocabFile
		spec, err = c.fromVocab(file)
	}
	if err != nil {
		return nil, err
	}
	err = c.addTokens(&spec)
	if err == nil && from == vocabFile {
		err = c.addEdges(&spec)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", configFile, err)
	}
	t, err := New(spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return t, nil
}

// config is tokenizer_config.json, where it bears on ids.
type config struct {
	Class  string               `json:"tokenizer_class"`
	Added  map[string]fileAdded `json:"added_tokens_decoder"`
	AddBOS *bool                `json:"add_bos_token"`
	AddEOS *bool                `json:"add_eos_token"`
	BOS    tokenName            `json:"bos_token"`
	EOS    tokenName            `json:"eos_token"`
	Prefix bool                 `json:"add_prefix_space"`
}

// tokenName is a token's text, given as a string or as content of an object.
type tokenName string

func (n *tokenName) UnmarshalJSON(raw []byte) error {
	var object struct{ Content string }
	if raw[0] == '{' {
		err := json.Unmarshal(raw, &object)
		*n = tokenName(object.Content)
		return err
	}
	return json.Unmarshal(raw, (*string)(n))
}

func readConfig(file func(string) ([]byte, error)) (config, error) {
	var c config
	raw, err := file(configFile)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	return c, unmarshal(configFile, raw, &c)
}

// addTokens adds the tokens that only the configuration names.
func (c *config) addTokens(s *Spec) error {
	known := map[string]bool{}
	for _, a := range s.Added {
		known[a.Content] = true
	}
	var more []Added
	for _, key := range slices.Sorted(maps.Keys(c.Added)) {
		f := c.Added[key]
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil {
			return fmt.Errorf("added_tokens_decoder: %q is no id", key)
		}
		if known[f.Content] {
			continue
		}
		f.ID = int32(id)
		added, err := f.added()
		if err != nil {
			return err
		}
		more = append(more, added)
	}
	slices.SortFunc(more, func(a, b Added) int { return int(a.ID) - int(b.ID) })
	s.Added = append(s.Added, more...)
	return nil
}

// addEdges sets what begins and ends every text.
func (c *config) addEdges(s *Spec) (err error) {
	if s.Prefix, err = s.edge("bos_token", c.AddBOS, string(c.BOS)); err != nil {
		return err
	}
	s.Suffix, err = s.edge("eos_token", c.AddEOS, string(c.EOS))
	return err
}

// edge is the id of a token that begins or ends every text; none where add does not say
// so or the model has no such token.
func (s *Spec) edge(name string, add *bool, token string) ([]int32, error) {
	if add == nil || !*add || token == "" {
		return nil, nil
	}
	for _, a := range s.Added {
		if a.Content == token {
			return []int32{a.ID}, nil
		}
	}
	for id, spelled := range s.Vocab {
		if spelled != "" && unspell(spelled) == token {
			return []int32{int32(id)}, nil
		}
	}
	return nil, fmt.Errorf("add_%s is true, but %s, %q, is no token", name, name, token)
}

// fromVocab reads vocab.json and merges.txt of Qwen2's tokenizer.
func (c *config) fromVocab(file func(string) ([]byte, error)) (Spec, error) {
	s := Spec{Splits: []Split{{Pattern: Qwen2Pattern}}, NFC: true}
	raw, err := file(vocabFile)
	if err != nil {
		return s, err
	}
	if class := strings.TrimSuffix(c.Class, "Fast"); class != "" && class != "Qwen2Tokenizer" {
		return s, fmt.Errorf("%s: a %s in %s without %s is not supported (Qwen2Tokenizer is)", configFile, names.Plain(c.Class), vocabFile, jsonFile)
	}
	if c.Prefix {
		return s, fmt.Errorf("%s: add_prefix_space is not supported", configFile)
	}
	m := fileModel{Type: "BPE"}
	if err := unmarshal(vocabFile, raw, &m.Vocab); err != nil {
		return s, err
	}
	if s.Vocab, err = m.vocabulary(); err != nil {
		return s, fmt.Errorf("%s: %w", vocabFile, err)
	}
	if raw, err = file(mergesFile); err != nil {
		return s, err
	}
	if s.Merges, err = readMerges(string(raw)); err != nil {
		return s, fmt.Errorf("%s: %w", mergesFile, err)
	}
	raw, err = file("added_tokens.json")
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	var added map[string]int32
	if err := unmarshal("added_tokens.json", raw, &added); err != nil {
		return s, err
	}
	for _, content := range slices.Sorted(maps.Keys(added)) {
		if _, described := c.Added[strconv.Itoa(int(added[content]))]; !described {
			s.Added = append(s.Added, Added{ID: added[content], Content: content})
		}
	}
	return s, nil
}

// readMerges reads a merge a line: two tokens with a space between. The first line may
// be a comment.
func readMerges(text string) ([][2]string, error) {
	var out [][2]string
	line := 0
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimRight(l, "\r\n")
		if l == "" || line == 1 && strings.HasPrefix(l, "#version") {
			continue
		}
		left, right, found := strings.Cut(l, " ")
		if !found || left == "" || right == "" || strings.Contains(right, " ") {
			return nil, fmt.Errorf("line %d is not two tokens with a space between", line)
		}
		out = append(out, [2]string{left, right})
	}
	return out, nil
}
