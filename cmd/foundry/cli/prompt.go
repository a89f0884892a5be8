package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"foundry"
	"foundry/frontends/chat"
	"foundry/ir/names"
	"foundry/runtime/files"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// promptFlags give what a model goes on with: a text, or a conversation that its chat
// template renders.
type promptFlags struct {
	text, system, messages, tools string
	chat, show, asJSON            bool
	thinking                      *bool // nil: as the chat template has it
}

func (f *promptFlags) add(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringVar(&f.text, "prompt", "", "the text to go on with (when not given, standard input without its last line break)")
	p.BoolVar(&f.chat, "chat", false, "put the prompt into the model's chat template; on a terminal without a prompt, talk")
	p.StringVar(&f.system, "system", "", "the system message of --chat")
	p.StringVar(&f.messages, "messages", "", "FILE.json with a conversation: a list of objects with role and content (- is standard input)")
	p.StringVar(&f.tools, "tools", "", "FILE.json with the tools of a conversation: a list of JSON schemas of functions")
	p.BoolFunc("thinking", "whether the model thinks aloud before it answers, true or false, where its chat template asks for enable_thinking", func(text string) error {
		on, err := strconv.ParseBool(text)
		f.thinking = &on
		return err
	})
	p.BoolVar(&f.show, "show-prompt", false, "print the prompt exactly as the model gets it, and run nothing")
	p.BoolVar(&f.asJSON, "json", false, "print one JSON object: the text, its token ids and tokens a second; with --show-prompt, the prompt and its token ids")
}

// check is an error where flags do not go together.
func (f *promptFlags) check(cmd *cobra.Command) error {
	if err := exclusive(cmd, "prompt", "messages"); err != nil {
		return err
	}
	given := cmd.Flags().Changed
	switch {
	case f.messages != "" && given("system"):
		return usagef("%s: --system has no effect beside --messages, which hold all; leave it out", cmd.Name())
	case given("system") && !f.chat:
		return usagef("%s: --system needs --chat", cmd.Name())
	case f.tools != "" && !f.chat && f.messages == "":
		return usagef("%s: --tools needs --chat or --messages", cmd.Name())
	case f.thinking != nil && !f.chat && f.messages == "":
		return usagef("%s: --thinking needs --chat or --messages", cmd.Name())
	}
	return nil
}

// talks says that the flags ask for a conversation by hand.
func (f *promptFlags) talks(cmd *cobra.Command, s IO) bool {
	in, ok := s.In.(*os.File)
	return f.chat && !f.show && !f.asJSON && f.messages == "" && !cmd.Flags().Changed("prompt") && ok && term.IsTerminal(int(in.Fd()))
}

// prompt is what the model gets. echo is what of it stands before the answer.
type prompt struct {
	text, echo string
	ids        []int32
}

// read returns the prompt that the flags and standard input give.
func (f *promptFlags) read(cmd *cobra.Command, s IO, m func() (*foundry.Model, error)) (*foundry.Model, prompt, error) {
	var p prompt
	c, err := f.conversation(cmd, s)
	if err != nil {
		return nil, p, err
	}
	opened, err := m()
	if err != nil {
		return nil, p, err
	}
	if c == nil {
		p.text, p.echo = f.text, f.text
		p.ids, err = opened.Encode(p.text)
	} else {
		p.text, p.ids, err = renderChat(opened, *c)
	}
	if err != nil {
		return nil, p, errors.Join(err, opened.Close())
	}
	return opened, p, nil
}

// renderChat is a conversation as a text and as token ids.
func renderChat(m *foundry.Model, c chat.Conversation) (string, []int32, error) {
	t, err := m.ChatTemplate()
	if err != nil {
		return "", nil, err
	}
	text, err := t.Render(c, time.Now())
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	ids, err := m.EncodeChat(text)
	return text, ids, err
}

// conversation reads what a chat template shall render; nil where the prompt is plain
// text, which it puts into f.text.
func (f *promptFlags) conversation(cmd *cobra.Command, s IO) (*chat.Conversation, error) {
	if f.messages != "" {
		raw, err := readFile("--messages", f.messages, s)
		if err != nil {
			return nil, err
		}
		messages, err := chat.ReadMessages(raw)
		if err != nil {
			return nil, fmt.Errorf("--messages %s: %w", f.messages, err)
		}
		c, err := f.start(s)
		c.Messages = messages
		return &c, err
	}
	if !cmd.Flags().Changed("prompt") {
		text, err := readInput(s)
		if err != nil {
			return nil, fmt.Errorf("cannot read the prompt from standard input: %w", err)
		}
		f.text = strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	}
	if f.text == "" {
		return nil, usagef("%s: the prompt is empty; give --prompt or pipe a text", cmd.Name())
	}
	if !f.chat {
		return nil, nil
	}
	c, err := f.start(s)
	c.Messages.Items = append(c.Messages.Items, chat.Message("user", f.text))
	return &c, err
}

// start is a conversation in which nobody has spoken yet.
func (f *promptFlags) start(s IO) (chat.Conversation, error) {
	c := chat.Conversation{Messages: chat.Messages(), Thinking: f.thinking}
	if f.system != "" {
		c.Messages = chat.Messages(chat.Message("system", f.system))
	}
	if f.tools == "" {
		return c, nil
	}
	raw, err := readFile("--tools", f.tools, s)
	if err != nil {
		return c, err
	}
	if c.Tools, err = chat.ReadTools(raw); err != nil {
		return c, fmt.Errorf("--tools %s: %w", f.tools, err)
	}
	return c, nil
}

// maxInput is how many bytes of text a command takes; the longest context is a
// thousandth of it.
const maxInput = 64 << 20

// readInput reads standard input to its end.
func readInput(s IO) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(s.In, maxInput+1))
	if err == nil && len(text) > maxInput {
		err = fmt.Errorf("it has more than %s", names.Bytes(maxInput))
	}
	if err == nil {
		err = files.Unmarked("it", text)
	}
	return text, err
}

func readFile(flag, path string, s IO) ([]byte, error) {
	if path == "-" {
		raw, err := readInput(s)
		if err != nil {
			return nil, fmt.Errorf("%s: cannot read standard input: %w", flag, err)
		}
		return raw, nil
	}
	raw, err := files.ReadAny(path, maxInput)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return raw, nil
}

// print shows the prompt as it is.
func (f *promptFlags) print(s IO, p prompt) error {
	if !f.asJSON {
		_, err := io.WriteString(s.exact(), p.text)
		return err
	}
	e := json.NewEncoder(s.Out)
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		Prompt string  `json:"prompt"`
		IDs    []int32 `json:"ids"`
	}{p.text, p.ids})
}
