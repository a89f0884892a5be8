package tokenizer

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string // system, user or assistant
	Content string
}

// Chat renders conversations in ChatML, the form of Qwen2.5's chat template
// without tools.
type Chat struct {
	// System is what the system message says when a conversation does not start
	// with one; with "" there is none then.
	System string
}

// The template is a program in a language of its own; of Qwen2.5's published
// ones, only the default system message differs between models. It stands where
// no tools are given and the first message is not the system's.
var (
	chatML        = regexp.MustCompile(`<\|im_start\|>' \+ message\.role \+ '\\n' \+ message\.content \+ '<\|im_end\|>`)
	defaultSystem = regexp.MustCompile(`<\|im_start\|>system\\n([^'{}]*)<\|im_end\|>\\n'`)
)

// ParseChat reads the chat template of a tokenizer_config.json. A file without
// one, and a template that is not Qwen2.5's ChatML, are errors.
func ParseChat(tokenizerConfig []byte) (Chat, error) {
	var config struct {
		Template *string `json:"chat_template"`
	}
	if err := json.Unmarshal(tokenizerConfig, &config); err != nil {
		return Chat{}, fmt.Errorf("tokenizer_config.json is not readable: %w", err)
	}
	if config.Template == nil {
		return Chat{}, fmt.Errorf("tokenizer_config.json has no chat_template: the model was not trained to chat; prompt it with plain text")
	}
	if !chatML.MatchString(*config.Template) {
		return Chat{}, fmt.Errorf("tokenizer_config.json: the chat_template is not the ChatML of Qwen2.5")
	}
	var c Chat
	if m := defaultSystem.FindStringSubmatch(*config.Template); m != nil {
		c.System = m[1]
	}
	return c, nil
}

// Render returns the text of a conversation, up to where the assistant shall
// speak next. Encode finds its control tokens.
func (c Chat) Render(messages []Message) (string, error) {
	var out strings.Builder
	turn := func(m Message) {
		fmt.Fprintf(&out, "<|im_start|>%s\n%s<|im_end|>\n", m.Role, m.Content)
	}
	if len(messages) == 0 {
		return "", fmt.Errorf("a conversation needs a message")
	}
	if messages[0].Role != "system" && c.System != "" {
		turn(Message{"system", c.System})
	}
	for _, m := range messages {
		switch m.Role {
		case "system", "user", "assistant":
			turn(m)
		default:
			return "", fmt.Errorf("unknown role %q in a conversation: want system, user or assistant", m.Role)
		}
	}
	out.WriteString("<|im_start|>assistant\n")
	return out.String(), nil
}
