package checkpoint

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"
)

// filesOf is a source of files alone.
type filesOf map[string]string

func (f filesOf) Label() string               { return "files" }
func (f filesOf) Names() []string             { return nil }
func (f filesOf) Info(string) (Info, bool)    { return Info{}, false }
func (f filesOf) Read(string) ([]byte, error) { return nil, fs.ErrNotExist }
func (f filesOf) Close() error                { return nil }

func (f filesOf) File(name string) ([]byte, error) {
	text, ok := f[name]
	if !ok {
		return nil, fmt.Errorf("there is no %s: %w", name, fs.ErrNotExist)
	}
	return []byte(text), nil
}

// A chat template goes into GGUF from where it lies, and comes back.
func TestChatTemplateInGGUF(t *testing.T) {
	named := `[{"name":"default","template":"plain"},{"name":"tool_use","template":"tools"}]`
	for _, c := range []struct {
		files filesOf
		want  string
	}{
		{filesOf{}, ``},
		{filesOf{"tokenizer_config.json": `{"chat_template":null}`}, ``},
		{filesOf{"tokenizer_config.json": `{"chat_template":"plain"}`}, `"plain"`},
		{filesOf{"tokenizer_config.json": `{"chat_template":"plain"}`, "chat_template.jinja": "file"}, `"file"`},
		{filesOf{"tokenizer_config.json": `{"chat_template":` + named + `}`}, named},
	} {
		entries, err := appendChatTemplate(nil, c.files)
		require.NoError(t, err)
		g := &gguf{meta: map[string]any{}}
		for _, e := range entries {
			g.meta[e.key] = e.value
		}
		raw, err := g.tokenizerConfig()
		require.NoError(t, err)
		var config struct {
			ChatTemplate json.RawMessage `json:"chat_template"`
		}
		require.NoError(t, json.Unmarshal(raw, &config))
		require.Equal(t, c.want, string(config.ChatTemplate))
	}
	_, err := appendChatTemplate(nil, filesOf{"tokenizer_config.json": `{"chat_template":5}`})
	require.EqualError(t, err, "tokenizer_config.json: chat_template is neither a text nor a list of named templates")
}
