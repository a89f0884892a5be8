package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"foundry/frontends/chat"
	"foundry/frontends/tokenizer"
	"foundry/ir/names"
)

// CheckLanguage is an error of a model that is one graph.
func (m *Model) CheckLanguage() error {
	if m.Graph != nil {
		return fmt.Errorf("%s is a graph and no language model: it has no prompt to run", m.Name)
	}
	return nil
}

// Tokenizer reads the model's tokenizer: tokenizer.json, or vocab.json and merges.txt. A
// model without one works with token ids only.
func (m *Model) Tokenizer() (*tokenizer.Tokenizer, error) {
	if err := m.CheckLanguage(); err != nil {
		return nil, err
	}
	t, err := m.tokenizer()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no tokenizer.json, so it takes token ids only: use eval --ids", m.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	return t, nil
}

// tokenizer reads it once; the error wraps fs.ErrNotExist where the model has none.
func (m *Model) tokenizer() (*tokenizer.Tokenizer, error) {
	m.textOnce.Do(func() { m.text, m.textErr = tokenizer.Read(m.read) })
	return m.text, m.textErr
}

// Encode turns a text into the token ids that Session.Generate runs for it, with those
// that begin and end every text where the model has such.
func (m *Model) Encode(text string) ([]int32, error) {
	t, err := m.Tokenizer()
	if err != nil {
		return nil, err
	}
	return t.Encode(text)
}

// smallFile is what reading a file gave.
type smallFile struct {
	content []byte
	err     error
}

// file returns a file that goes with the checkpoint, but for the tokenizer's; the error
// wraps fs.ErrNotExist when there is none. Each is read once: a process that runs a
// stranger's kernels has given up its right to open files by the time it asks again.
func (m *Model) file(name string) ([]byte, error) {
	m.smallMu.Lock()
	defer m.smallMu.Unlock()
	f, ok := m.small[name]
	if !ok {
		f.content, f.err = m.read(name)
		if m.small == nil {
			m.small = map[string]smallFile{}
		}
		m.small[name] = f
	}
	return f.content, f.err
}

func (m *Model) read(name string) ([]byte, error) {
	if m.source == nil {
		return nil, fmt.Errorf("%s: a graph has no %s: %w", m.Name, name, fs.ErrNotExist)
	}
	return m.source.File(name)
}

// EndTokens lists the ids that end a text: eos_token_id of generation_config.json
// or, where that has none, of config.json.
func (m *Model) EndTokens() ([]int32, error) {
	for _, name := range []string{"generation_config.json", "config.json"} {
		raw, err := m.file(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ids, err := endTokens(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", m.Name, name, err)
		}
		if len(ids) > 0 {
			return ids, nil
		}
	}
	return nil, nil
}

// endTokens reads eos_token_id: a number, a list or nothing.
func endTokens(raw []byte) ([]int32, error) {
	var c struct {
		EOS json.RawMessage `json:"eos_token_id"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if len(c.EOS) == 0 || string(c.EOS) == "null" {
		return nil, nil
	}
	var one int32
	if json.Unmarshal(c.EOS, &one) == nil {
		return []int32{one}, nil
	}
	var list []int32
	if err := json.Unmarshal(c.EOS, &list); err != nil {
		return nil, fmt.Errorf("eos_token_id is %s, want an id or a list of ids", names.Plain(string(c.EOS)))
	}
	return list, nil
}

// ChatTemplate is what renders the model's conversations. A model that was not trained
// to chat has none, which is an error.
func (m *Model) ChatTemplate() (*chat.Template, error) {
	if err := m.CheckLanguage(); err != nil {
		return nil, err
	}
	t, err := chat.Read(m.file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	return t, nil
}

// EncodeChat turns a conversation that ChatTemplate rendered into token ids. The text
// holds all of the control tokens, so none is put around it.
func (m *Model) EncodeChat(rendered string) ([]int32, error) {
	t, err := m.Tokenizer()
	if err != nil {
		return nil, err
	}
	return t.EncodePart(rendered)
}

// TokenText is the text of one token, for display: empty where the model has no
// tokenizer or the tokenizer no such token.
func (m *Model) TokenText(id int32) string {
	t, err := m.Tokenizer()
	if err != nil {
		return ""
	}
	text, err := t.Decode([]int32{id})
	if err != nil {
		return ""
	}
	return text
}
