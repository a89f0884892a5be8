package chat

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type model struct {
	Name          string
	Files         map[string]string
	Conversations []struct {
		Messages, Tools json.RawMessage
		Open            *bool `json:"add_generation_prompt"`
		Thinking        *bool `json:"enable_thinking"`
		Text, Error     string
	}
}

// folder serves files as a checkpoint does.
func folder(files map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		text, ok := files[name]
		if !ok {
			return nil, fmt.Errorf("there is no %s: %w", name, fs.ErrNotExist)
		}
		return []byte(text), nil
	}
}

// The goldens are what apply_chat_template of transformers gives, or refuses.
func TestConversations(t *testing.T) {
	raw, err := os.ReadFile("testdata/goldens.json")
	require.NoError(t, err)
	var models []model
	require.NoError(t, json.Unmarshal(raw, &models))
	require.GreaterOrEqual(t, len(models), 10)
	now := time.Date(2026, 3, 5, 7, 8, 9, 0, time.UTC)
	equal := 0
	for _, m := range models {
		tmpl, err := Read(folder(m.Files))
		require.NoError(t, err, m.Name)
		for i, g := range m.Conversations {
			c := Conversation{Closed: g.Open != nil && !*g.Open, Thinking: g.Thinking}
			c.Messages, err = ReadMessages(g.Messages)
			require.NoError(t, err)
			if g.Tools != nil {
				c.Tools, err = ReadTools(g.Tools)
				require.NoError(t, err)
			}
			text, err := tmpl.Render(c, now)
			if g.Error != "" {
				require.ErrorContains(t, err, ": the chat template failed: line ", "%s %d: transformers says %s", m.Name, i, g.Error)
				continue
			}
			require.NoError(t, err, "%s %d", m.Name, i)
			require.Equal(t, g.Text, text, "%s %d", m.Name, i)
			equal++
		}
	}
	require.GreaterOrEqual(t, equal, 60)
}

func TestSources(t *testing.T) {
	hello := Conversation{Messages: Messages(Message("user", "hello"))}
	for _, c := range []struct {
		files map[string]string
		text  string
		err   string
	}{
		{files: nil, err: ErrNone.Error()},
		{files: map[string]string{"tokenizer_config.json": `{}`}, err: ErrNone.Error()},
		{files: map[string]string{"tokenizer_config.json": `{"chat_template":null}`}, err: ErrNone.Error()},
		{files: map[string]string{"tokenizer_config.json": `{"chat_template":"a"}`}, text: "a"},
		{files: map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"default","template":"b"},{"name":"rag","template":"c"}]}`}, text: "b"},
		{files: map[string]string{"tokenizer_config.json": `{"chat_template":"a"}`, "chat_template.json": `{"chat_template":"j"}`}, text: "j"},
		{files: map[string]string{"tokenizer_config.json": `{"chat_template":"a"}`, "chat_template.jinja": "{{ messages[0].content }}\n"}, text: "hello"},
		{files: map[string]string{"tokenizer_config.json": `{"chat_template":"{{ bos_token }}{{ eos_token }}","bos_token":{"content":"<s>"},"eos_token":"</s>"}`}, text: "<s></s>"},
		{files: map[string]string{"chat_template.jinja": "{{ documents is none }}{{ tools is none }}{{ add_generation_prompt }}{{ enable_thinking is defined }}"}, text: "TrueTrueTrueFalse"}, // as transformers calls it
		{files: map[string]string{"tokenizer_config.json": `x`}, err: "tokenizer_config.json is not JSON: invalid character 'x' looking for beginning of value"},
		{files: map[string]string{"tokenizer_config.json": `{"chat_template":5}`}, err: "tokenizer_config.json: chat_template is neither a text nor a list of named templates"},
		{files: map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"x"}]}`}, err: "tokenizer_config.json: chat_template[0] has no name or no template"},
		{files: map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"two\nlines","template":"c"}]}`}, err: `tokenizer_config.json: of the chat templates two\nlines none is named "default"`},
		{files: map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"rag","template":"c"}]}`}, err: `tokenizer_config.json: of the chat templates rag none is named "default"`},
		{files: map[string]string{"chat_template.json": `[]`}, err: "chat_template.json: want a JSON object"},
		{files: map[string]string{"chat_template.jinja": "a\n{% if %}"}, err: "chat_template.jinja: the chat template does not compile: line 2: want an expression, have the end of the tag"},
		{files: map[string]string{"chat_template.jinja": "a\n{% include 'x' %}"}, err: "chat_template.jinja: the chat template does not compile: line 2: the tag \"include\" is not supported in a chat template"},
		{files: map[string]string{"chat_template.jinja": "a\n{{ messages.x.y }}"}, err: "chat_template.jinja: the chat template failed: line 2: 'list object' has no attribute 'x'"},
		{files: map[string]string{"chat_template.jinja": "{{ raise_exception('no ' ~ messages[0].role) }}"}, err: "chat_template.jinja: the chat template failed: line 1: the template says: no user"},
	} {
		tmpl, err := Read(folder(c.files))
		text := ""
		if err == nil {
			text, err = tmpl.Render(hello, time.Time{})
		}
		if c.err != "" {
			require.EqualError(t, err, c.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.text, text)
	}
}

func TestToolsHaveATemplateOfTheirOwn(t *testing.T) {
	files := map[string]string{"chat_template.jinja": "plain", "additional_chat_templates/tool_use.jinja": "tools"}
	tmpl, err := Read(folder(files))
	require.NoError(t, err)
	c := Conversation{Messages: Messages(Message("user", "hello"))}
	text, err := tmpl.Render(c, time.Time{})
	require.NoError(t, err)
	require.Equal(t, "plain", text)
	c.Tools, err = ReadTools([]byte(`[]`))
	require.NoError(t, err)
	text, err = tmpl.Render(c, time.Time{})
	require.NoError(t, err)
	require.Equal(t, "tools", text)
	require.Equal(t, "plain", tmpl.Text())
}

func TestBadMessages(t *testing.T) {
	for raw, want := range map[string]string{
		``:                     "not JSON: EOF",
		`{}`:                   "want a JSON list of messages, each an object",
		`[]`:                   "the list of messages is empty",
		`[1]`:                  "element 1 of the messages is not an object",
		`[{"role":"user"},{}]`: "message 2 has no role",
		`[{"role":"user","content":123456789012345678901}]`: "not JSON: the number 123456789012345678901 has more than 64 bits",
		`[{"role":"user"}] x`:                               "not JSON: more than one JSON value",
		strings.Repeat("[", 1000):                           "not JSON: nested more than 200 levels deep",
	} {
		_, err := ReadMessages([]byte(raw))
		require.EqualError(t, err, want)
	}
	tmpl, err := Read(folder(map[string]string{"chat_template.jinja": "x"}))
	require.NoError(t, err)
	thinking := false
	_, err = tmpl.Render(Conversation{Messages: Messages(Message("user", "hello")), Thinking: &thinking}, time.Time{})
	require.ErrorContains(t, err, "the chat template does not ask for enable_thinking, so thinking can be neither on nor off")
	_, err = tmpl.Render(Conversation{}, time.Time{})
	require.EqualError(t, err, "a conversation needs a message")
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte(`[{"role":"user","content":"a","x":null,"thinking":"b"}]`))
	f.Add([]byte(`[{"role":"user","content":[{"type":"text","text":1e5}]}]`))
	tmpl, err := Read(folder(map[string]string{"chat_template.jinja": "{{ messages }}{{ messages | tojson }}"}))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, raw []byte) {
		messages, err := ReadMessages(raw)
		if err != nil {
			return
		}
		_, _ = tmpl.Render(Conversation{Messages: messages}, time.Time{})
	})
}

// A model whose only template is for tools has none for other conversations; what a message
// says it thought is there under each name that templates read.
func TestToolsOnlyAndThoughts(t *testing.T) {
	const template = "{{ messages[0].thinking }}|{{ messages[0].reasoning_content }}|{{ messages[0].content }}"
	files := map[string]string{"chat_template.json": `{"chat_template": [{"name": "tool_use", "template": "` + template + `"}]}`}
	tmpl, err := Read(folder(files))
	require.NoError(t, err)
	require.Equal(t, template, tmpl.Text())
	m := Message("assistant", "hello")
	m.Set("reasoning_content", "hm")
	_, err = tmpl.Render(Conversation{Messages: Messages(m)}, time.Time{})
	require.EqualError(t, err, "chat_template.json: the model has a chat template for conversations with tools only")
	tools, err := ReadTools([]byte(`[]`))
	require.NoError(t, err)
	text, err := tmpl.Render(Conversation{Messages: Messages(m), Tools: tools}, time.Time{})
	require.NoError(t, err)
	require.Equal(t, "hm|hm|hello", text)
}

// A file that is there and cannot be read is an error, not one that is missing; what opens the
// next turn is left out of a conversation that is closed, and who thinks is told so.
func TestUnreadableTemplates(t *testing.T) {
	for _, name := range []string{"tokenizer_config.json", "chat_template.jinja", "chat_template.json", "additional_chat_templates/tool_use.jinja"} {
		files := map[string]string{"tokenizer_config.json": `{"chat_template":"a"}`}
		if strings.HasPrefix(name, "additional") {
			files["chat_template.jinja"] = "own"
		}
		_, err := Read(func(asked string) ([]byte, error) {
			if asked == name {
				return nil, fs.ErrPermission
			}
			return folder(files)(asked)
		})
		require.ErrorIs(t, err, fs.ErrPermission, name)
	}
	_, err := Read(folder(map[string]string{"chat_template.json": "x"}))
	require.EqualError(t, err, "chat_template.json is not JSON: invalid character 'x' looking for beginning of value")
	_, err = Read(folder(map[string]string{"chat_template.jinja": "a", "additional_chat_templates/tool_use.jinja": "{% if %}"}))
	require.EqualError(t, err, "chat_template.jinja: the chat template does not compile: line 1: want an expression, have the end of the tag")
	tmpl, err := Read(folder(map[string]string{"chat_template.jinja": "{{ add_generation_prompt }}{{ enable_thinking }}"}))
	require.NoError(t, err)
	for _, on := range []bool{true, false} {
		text, err := tmpl.Render(Conversation{Messages: Messages(Message("user", "a")), Closed: on, Thinking: &on}, time.Time{})
		require.NoError(t, err)
		require.Equal(t, map[bool]string{true: "FalseTrue", false: "TrueFalse"}[on], text)
	}
}
