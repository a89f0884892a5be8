package model

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"foundry/frontends/chat"
	"foundry/lower/plan"
)

// Tokens is what a plan says of the model's tokens: those that end a text, control tokens
// and the chat template; nil of a graph. notes are lines about what it leaves out since
// the model's files do not read.
func (m *Model) Tokens() (t *plan.Tokens, notes []string, err error) {
	if m.Graph != nil {
		return nil, nil, nil
	}
	t = &plan.Tokens{}
	if t.Ends, err = m.EndTokens(); err != nil {
		return nil, nil, err
	}
	text, err := m.tokenizer()
	if err == nil {
		for _, id := range text.Specials() {
			t.Special = append(t.Special, plan.Token{ID: id, Text: m.TokenText(id)})
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		notes = append(notes, fmt.Sprintf("the plan lists no control tokens: %v", err))
	}
	found, err := chat.Find(m.file)
	switch {
	case errors.Is(err, chat.ErrNone):
		return t, notes, nil
	case err != nil:
		return t, append(notes, fmt.Sprintf("the plan has no chat template: %v", err)), nil
	}
	t.Template = &plan.Template{Text: found.Plain, Tools: found.Tools}
	for _, name := range slices.Sorted(maps.Keys(found.Tokens)) {
		t.Template.Names = append(t.Template.Names, plan.NamedToken{Name: name, Text: found.Tokens[name]})
	}
	return t, notes, nil
}
