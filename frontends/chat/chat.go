// Package chat turns a conversation into a prompt: it finds the chat template of a
// model among its files, compiles it, and renders messages and tools with it as Hugging
// Face transformers does (apply_chat_template), byte for byte.
//
// Read finds the template; Template.Render applies it; Find returns its text. ReadMessages and ReadTools read
// conversations from JSON. The language of templates is foundry/frontends/jinja.
//
// The prompt holds the control tokens as text, and the tokenizer finds them there. It
// cannot tell those of the template from those that a message spells: a user who writes
// <|im_end|> ends the turn. That is how transformers encodes a prompt too; who passes on
// the text of strangers must look for control tokens in it. The template writes a BOS
// token where the model wants one, so the prompt is encoded without another.
//
// Read next: foundry/frontends/jinja.
package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"foundry/frontends/jinja"
	"foundry/ir/names"
)

// Template is what renders the conversations of one model. It is immutable and safe for
// concurrent use.
type Template struct {
	standard *source // nil: only with tools
	tools    *source // nil: plain serves
	tokens   map[string]any
}

// source is a template with its text and the file it comes from.
type source struct {
	file, text string
	compiled   *jinja.Template
}

// The names of templates where a model has several.
const (
	defaultName = "default"
	toolsName   = "tool_use"
)

// thinkingName is the variable of templates that can leave thinking out.
const thinkingName = "enable_thinking"

// ErrNone says that a model has no chat template.
var ErrNone = errors.New("there is no chat template: the model was not trained to chat; prompt it with plain text")

// Texts is a model's chat template as its files have it.
type Texts struct {
	File   string            // the file that holds them
	Plain  string            // the template for conversations without tools; "": there are tools in all
	Tools  string            // the template for conversations with tools; "": Plain
	Tokens map[string]string // special tokens by the names that templates see, such as bos_token
}

// Find finds a model's chat template: chat_template.jinja, chat_template.json, or
// chat_template of tokenizer_config.json, a text or a list of named ones. With several,
// "tool_use" serves conversations with tools and "default" all others. file returns a
// file of the model; its error wraps fs.ErrNotExist where there is none. The error is
// ErrNone where no file has a template.
func Find(file func(name string) ([]byte, error)) (*Texts, error) {
	config, err := readConfig(file)
	if err != nil {
		return nil, err
	}
	texts, from, err := config.templates(file)
	if err != nil {
		return nil, err
	}
	t := &Texts{from, texts[defaultName], texts[toolsName], config.tokens()}
	switch {
	case len(texts) == 0:
		return nil, ErrNone
	case t.Plain == "" && t.Tools == "":
		return nil, fmt.Errorf("%s: of the chat templates %s none is named %q", from, names.Plain(strings.Join(slices.Sorted(maps.Keys(texts)), ", ")), defaultName)
	}
	return t, nil
}

// Read finds a model's chat template, as Find does, and compiles it.
func Read(file func(name string) ([]byte, error)) (*Template, error) {
	texts, err := Find(file)
	if err != nil {
		return nil, err
	}
	t := &Template{tokens: map[string]any{}}
	for name, token := range texts.Tokens {
		t.tokens[name] = token
	}
	compile := func(text string) (*source, error) {
		if text == "" {
			return nil, nil
		}
		compiled, err := jinja.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: the chat template does not compile: %w", texts.File, err)
		}
		return &source{texts.File, text, compiled}, nil
	}
	if t.standard, err = compile(texts.Plain); err != nil {
		return nil, err
	}
	t.tools, err = compile(texts.Tools)
	return t, err
}

// Text is the template as the model's files have it, for conversations without tools.
func (t *Template) Text() string {
	if t.standard == nil {
		return t.tools.text
	}
	return t.standard.text
}

// Conversation is what a template renders.
type Conversation struct {
	Messages *jinja.List // messages as *jinja.Dict, each with its role
	Tools    *jinja.List // JSON schemas of functions; nil: none
	// Closed leaves out what opens the assistant's next turn.
	Closed bool
	// Thinking says whether the assistant thinks aloud before it answers, to templates
	// that ask for it by enable_thinking; nil leaves it to them.
	Thinking *bool
}

// Message is a message of text.
func Message(role, content string) *jinja.Dict {
	return jinja.NewDict("role", role, "content", content)
}

// Messages is the list of them.
func Messages(messages ...*jinja.Dict) *jinja.List {
	list := &jinja.List{}
	for _, m := range messages {
		list.Items = append(list.Items, m)
	}
	return list
}

// Render returns the prompt of a conversation, up to where the assistant shall speak
// next. now is what a template that asks for the date is told. An error of the template
// names its file and line.
func (t *Template) Render(c Conversation, now time.Time) (string, error) {
	if c.Messages == nil || len(c.Messages.Items) == 0 {
		return "", errors.New("a conversation needs a message")
	}
	s := t.standard
	if c.Tools != nil && t.tools != nil {
		s = t.tools
	}
	if s == nil {
		return "", fmt.Errorf("%s: the model has a chat template for conversations with tools only", t.tools.file)
	}
	values := maps.Clone(t.tokens)
	values["messages"] = aliased(c.Messages)
	values["add_generation_prompt"] = !c.Closed
	values["documents"] = nil
	values["tools"] = nil
	if c.Tools != nil {
		values["tools"] = c.Tools
	}
	if c.Thinking != nil {
		if !strings.Contains(s.text, thinkingName) {
			return "", fmt.Errorf("%s: the chat template does not ask for %s, so thinking can be neither on nor off", s.file, thinkingName)
		}
		values[thinkingName] = *c.Thinking
	}
	text, err := s.compiled.Render(values, now, jinja.DefaultLimits)
	if err != nil {
		return "", fmt.Errorf("%s: the chat template failed: %w", s.file, err)
	}
	return text, nil
}

// config is tokenizer_config.json, where it bears on chats.
type config map[string]json.RawMessage

const configFile = "tokenizer_config.json"

func readConfig(file func(string) ([]byte, error)) (config, error) {
	raw, err := file(configFile)
	if errors.Is(err, fs.ErrNotExist) {
		return config{}, nil
	}
	if err != nil {
		return nil, err
	}
	return object(configFile, raw)
}

func object(file string, raw []byte) (config, error) {
	var c config
	if err := json.Unmarshal(raw, &c); err != nil || c == nil {
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			return nil, fmt.Errorf("%s is not JSON: %w", file, err)
		}
		return nil, fmt.Errorf("%s: want a JSON object", file)
	}
	return c, nil
}

// templates returns the texts by name and the file that has them.
func (c config) templates(file func(string) ([]byte, error)) (texts map[string]string, from string, err error) {
	const textFile, jsonFile = "chat_template.jinja", "chat_template.json"
	raw, err := file(textFile)
	if err == nil {
		texts = map[string]string{defaultName: string(raw)}
		tools, err := file("additional_chat_templates/" + toolsName + ".jinja")
		if err == nil {
			texts[toolsName] = string(tools)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, "", err
		}
		return texts, textFile, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	from, given := configFile, c["chat_template"]
	raw, err = file(jsonFile)
	if err == nil {
		f, err := object(jsonFile, raw)
		if err != nil {
			return nil, "", err
		}
		from, given = jsonFile, f["chat_template"]
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	texts, err = namedTemplates(given)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", from, err)
	}
	return texts, from, nil
}

// namedTemplates reads a chat_template: a text, or a list of named ones.
func namedTemplates(raw json.RawMessage) (map[string]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return map[string]string{defaultName: text}, nil
	}
	var list []struct{ Name, Template *string }
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, errors.New("chat_template is neither a text nor a list of named templates")
	}
	texts := map[string]string{}
	for i, t := range list {
		if t.Name == nil || t.Template == nil {
			return nil, fmt.Errorf("chat_template[%d] has no name or no template", i)
		}
		texts[*t.Name] = *t.Template
	}
	return texts, nil
}

// tokenNames are the special tokens that templates see by name.
var tokenNames = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// tokens are the special tokens: texts, or objects with the text as content.
func (c config) tokens() map[string]string {
	out := map[string]string{}
	for _, name := range tokenNames {
		var text *string
		var object struct{ Content *string }
		if json.Unmarshal(c[name], &text) != nil && json.Unmarshal(c[name], &object) == nil {
			text = object.Content
		}
		if text != nil {
			out[name] = *text
		}
	}
	return out
}
