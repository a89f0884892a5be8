package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// tokenizerJSON is what GGUF has a form for of a tokenizer.json.
type tokenizerJSON struct {
	Added []struct {
		ID      int
		Content string
		Special bool
	} `json:"added_tokens"`
	PreTokenizer  *preTokenizerJSON  `json:"pre_tokenizer"`
	PostProcessor *postProcessorJSON `json:"post_processor"`
	Model         struct {
		IgnoreMerges bool `json:"ignore_merges"`
		Vocab        map[string]int
		Merges       []json.RawMessage
	}
}

// preTokenizerJSON is a pre-tokenizer, or several in a row.
type preTokenizerJSON struct {
	Type           string
	Pretokenizers  []*preTokenizerJSON
	Pattern        struct{ Regex string }
	Behavior       string
	Invert         bool
	UseRegex       *bool `json:"use_regex"`
	AddPrefixSpace *bool `json:"add_prefix_space"`
}

// postProcessorJSON is a post-processor, or several in a row.
type postProcessorJSON struct {
	Type       string
	Processors []*postProcessorJSON
	Single     []struct {
		SpecialToken *struct{ ID string }
	}
	SpecialTokens map[string]struct{ IDs []int } `json:"special_tokens"`
}

func parseGGUFTokens(raw []byte) (*tokenizerJSON, error) {
	t := &tokenizerJSON{}
	if err := json.Unmarshal(raw, t); err != nil {
		return nil, fmt.Errorf("not readable: %w", err)
	}
	if t.Model.IgnoreMerges {
		return nil, errors.New("ignore_merges has no form in GGUF")
	}
	return t, nil
}

// lists are the token lists; the vocabulary is padded to size with tokens that are
// marked unused.
func (t *tokenizerJSON) lists(size int) ([]ggufEntry, error) {
	pre, err := t.PreTokenizer.name()
	if err != nil {
		return nil, err
	}
	tokens, types := make([]string, size), make([]int32, size)
	for id := range tokens {
		tokens[id], types[id] = fmt.Sprintf("[PAD%d]", id), tokenUnused
	}
	set := func(id int, token string, kind int32) error {
		if id < 0 || id >= size {
			return fmt.Errorf("token %q has id %d, but config.json's vocab_size is %d", token, id, size)
		}
		tokens[id], types[id] = token, kind
		return nil
	}
	for token, id := range t.Model.Vocab {
		if err := set(id, token, tokenNormal); err != nil {
			return nil, err
		}
	}
	for _, a := range t.Added {
		kind := int32(tokenUserDefined)
		if a.Special {
			kind = tokenControl
		}
		if err := set(a.ID, a.Content, kind); err != nil {
			return nil, err
		}
	}
	merges := make([]string, len(t.Model.Merges))
	for i, m := range t.Model.Merges {
		if merges[i], err = joinedMerge(m); err != nil {
			return nil, fmt.Errorf("merge %d: %w", i, err)
		}
	}
	return []ggufEntry{
		{"tokenizer.ggml.model", "gpt2"},
		{"tokenizer.ggml.pre", pre},
		{"tokenizer.ggml.tokens", tokens},
		{"tokenizer.ggml.token_type", types},
		{"tokenizer.ggml.merges", merges},
	}, nil
}

// joinedMerge reads a merge in either of its two forms and returns "a b".
func joinedMerge(raw []byte) (string, error) {
	var joined string
	if json.Unmarshal(raw, &joined) == nil {
		return joined, nil
	}
	var pair []string
	if err := json.Unmarshal(raw, &pair); err != nil || len(pair) != 2 {
		return "", fmt.Errorf("neither \"a b\" nor [\"a\", \"b\"]")
	}
	return pair[0] + " " + pair[1], nil
}

// name is GGUF's for a published split pattern, with bytes spelled behind it and nothing
// else.
func (p *preTokenizerJSON) name() (string, error) {
	none := errors.New("its split pattern has no name in GGUF")
	if p == nil || len(p.Pretokenizers) != 2 || slices.Contains(p.Pretokenizers, nil) {
		return "", none
	}
	split, level := p.Pretokenizers[0], p.Pretokenizers[1]
	is := func(v *bool, otherwise bool) bool {
		if v == nil {
			return otherwise
		}
		return *v
	}
	if split.Type != "Split" || split.Behavior != "Isolated" || split.Invert ||
		level.Type != "ByteLevel" || is(level.UseRegex, true) || is(level.AddPrefixSpace, true) {
		return "", none
	}
	for name, pattern := range splitPatterns {
		if split.Pattern.Regex == pattern {
			return name, nil
		}
	}
	return "", none
}

// id returns the id of a token given as plain text.
func (t *tokenizerJSON) id(content string) (int, bool) {
	for _, a := range t.Added {
		if a.Content == content {
			return a.ID, true
		}
	}
	id, ok := t.Model.Vocab[content]
	return id, ok
}

// special are the ids of bos and eos: the tokens that tokenizer_config.json names, which
// templates see, or else the ids of config.json.
func (t *tokenizerJSON) special(s Source, config map[string]any) (map[string]int, error) {
	out := map[string]int{}
	vocab, _ := config["vocab_size"].(float64)
	raw, err := s.File("tokenizer_config.json")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	named := map[string]json.RawMessage{}
	if err == nil {
		if err := json.Unmarshal(raw, &named); err != nil {
			return nil, fmt.Errorf("tokenizer_config.json is not readable: %w", err)
		}
	}
	for _, token := range []string{"bos", "eos"} {
		if id, ok := config[token+"_token_id"].(float64); ok && id >= 0 && id < vocab {
			out[token] = int(id)
		}
		var text string
		var object struct{ Content string }
		raw := named[token+"_token"]
		if bytes.HasPrefix(raw, []byte("{")) {
			if json.Unmarshal(raw, &object) == nil {
				text = object.Content
			}
		} else if len(raw) > 0 && json.Unmarshal(raw, &text) != nil {
			return nil, fmt.Errorf("tokenizer_config.json: %s_token is neither a text nor an object", token)
		}
		if text == "" {
			continue
		}
		id, ok := t.id(text)
		if !ok {
			return nil, fmt.Errorf("tokenizer_config.json: %s_token, %q, is no token", token, text)
		}
		out[token] = id
	}
	return out, nil
}

// edges says whether bos begins and eos ends every text.
func (t *tokenizerJSON) edges(ids map[string]int) ([]ggufEntry, error) {
	before, behind, err := t.PostProcessor.around()
	if err != nil {
		return nil, err
	}
	out := []ggufEntry{{"tokenizer.ggml.add_bos_token", len(before) > 0}}
	if len(behind) > 0 {
		out = append(out, ggufEntry{"tokenizer.ggml.add_eos_token", true})
	}
	for _, edge := range []struct {
		token string
		ids   []int
	}{{"bos", before}, {"eos", behind}} {
		if id, ok := ids[edge.token]; len(edge.ids) > 0 && !(ok && slices.Equal(edge.ids, []int{id})) {
			return nil, fmt.Errorf("post_processor: the tokens %v around a text are not the %s token, which alone has a form in GGUF", edge.ids, edge.token)
		}
	}
	return out, nil
}

// around returns the ids before and behind a text's own.
func (p *postProcessorJSON) around() (before, behind []int, err error) {
	switch {
	case p == nil || p.Type == "ByteLevel":
		return nil, nil, nil
	case p.Type == "Sequence":
		for _, part := range p.Processors {
			b, e, err := part.around()
			if err != nil {
				return nil, nil, err
			}
			before, behind = slices.Concat(b, before), slices.Concat(behind, e)
		}
		return before, behind, nil
	case p.Type != "TemplateProcessing":
		return nil, nil, fmt.Errorf("post_processor %q has no form in GGUF", p.Type)
	}
	at := &before
	for _, part := range p.Single {
		if part.SpecialToken == nil {
			at = &behind
			continue
		}
		token, known := p.SpecialTokens[part.SpecialToken.ID]
		if !known || len(token.IDs) == 0 {
			return nil, nil, fmt.Errorf("post_processor: special token %q has no ids", part.SpecialToken.ID)
		}
		*at = append(*at, token.IDs...)
	}
	return before, behind, nil
}
