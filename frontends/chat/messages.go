package chat

import (
	"errors"
	"fmt"

	"foundry/frontends/jinja"
)

// ReadMessages reads a conversation: a JSON list of objects, each with a role. Keys
// whose value is null are as good as absent, as in transformers.
func ReadMessages(raw []byte) (*jinja.List, error) {
	list, err := objects(raw, "messages")
	if err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, errors.New("the list of messages is empty")
	}
	for i, item := range list.Items {
		m := item.(*jinja.Dict)
		role, _ := m.Get("role")
		if text, ok := role.(string); !ok || text == "" {
			return nil, fmt.Errorf("message %d has no role", i+1)
		}
		list.Items[i] = withoutNulls(m)
	}
	return list, nil
}

// ReadTools reads the tools of a conversation: a JSON list of objects, the schemas of
// functions.
func ReadTools(raw []byte) (*jinja.List, error) { return objects(raw, "tools") }

func objects(raw []byte, what string) (*jinja.List, error) {
	v, err := jinja.FromJSON(raw)
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	list, ok := v.(*jinja.List)
	if !ok {
		return nil, fmt.Errorf("want a JSON list of %s, each an object", what)
	}
	for i, item := range list.Items {
		if _, ok := item.(*jinja.Dict); !ok {
			return nil, fmt.Errorf("element %d of the %s is not an object", i+1, what)
		}
	}
	return list, nil
}

func withoutNulls(m *jinja.Dict) *jinja.Dict {
	out := jinja.NewDict()
	for key, value := range m.All() {
		if value != nil {
			out.Set(key, value)
		}
	}
	return out
}

// reasoningNames are the keys under which interfaces give what a model thought; the
// first is what templates read.
var reasoningNames = []string{"reasoning_content", "thinking", "reasoning"}

// aliased gives messages with a thought under any of the names the names that templates
// read.
func aliased(messages *jinja.List) *jinja.List {
	out := &jinja.List{}
	for _, item := range messages.Items {
		m, ok := item.(*jinja.Dict)
		if ok {
			item = withReasoning(m)
		}
		out.Items = append(out.Items, item)
	}
	return out
}

func withReasoning(m *jinja.Dict) *jinja.Dict {
	for _, name := range reasoningNames {
		thought, ok := m.Get(name)
		if !ok || thought == nil {
			continue
		}
		out := jinja.NewDict("thinking", thought)
		for key, value := range m.All() {
			out.Set(key, value)
		}
		out.Set(reasoningNames[0], thought)
		return out
	}
	return m
}
