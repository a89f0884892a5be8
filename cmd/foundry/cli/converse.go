package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"foundry"
	"foundry/frontends/chat"
	"foundry/frontends/jinja"
)

// resetLine begins a conversation anew.
const resetLine = "/reset"

// talk is a conversation by hand: a line, and the model's answer to all that was said.
// What the caches hold of it stays there.
type talk struct {
	s       IO
	session *foundry.Session
	model   *foundry.Model
	options foundry.GenerateOptions
	bounded bool              // options.Max asked for by a flag; without it an answer may fill the context
	start   chat.Conversation // the messages that a new conversation begins with
	stop    <-chan os.Signal  // an end of an answer or, between answers, of the conversation
}

// run talks until the input ends.
func (t *talk) run(ctx context.Context) error {
	lines := make(chan string)
	read := make(chan error, 1)
	go func() {
		in := bufio.NewScanner(t.s.In)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			lines <- in.Text()
		}
		read <- in.Err()
		close(lines)
	}()
	said := t.begin()
	for {
		fmt.Fprint(t.s.Err, "> ")
		select {
		case <-t.stop:
			fmt.Fprintln(t.s.Err)
			return nil
		case line, more := <-lines:
			switch {
			case !more:
				fmt.Fprintln(t.s.Err)
				return <-read
			case strings.TrimSpace(line) == resetLine:
				said = t.begin()
			case strings.TrimSpace(line) != "":
				said = t.say(ctx, said, line)
			}
		}
	}
}

func (t *talk) begin() *jinja.List {
	return &jinja.List{Items: append([]any{}, t.start.Messages.Items...)}
}

// say answers a line, and returns what was said then. An answer that was stopped counts
// as far as it came; a line that could not be answered is said, and forgotten.
func (t *talk) say(ctx context.Context, said *jinja.List, line string) *jinja.List {
	asked := &jinja.List{Items: append(said.Items[:len(said.Items):len(said.Items)], chat.Message("user", line))}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-t.stop:
			cancel()
		case <-done:
		}
	}()
	answer, err := t.answer(ctx, asked)
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(t.s.Err, "%s\n", oneLine(err))
		return said
	}
	asked.Items = append(asked.Items, chat.Message("assistant", answer))
	return asked
}

// answer prints what the model says.
func (t *talk) answer(ctx context.Context, asked *jinja.List) (string, error) {
	c := t.start
	c.Messages = asked
	_, ids, err := renderChat(t.model, c)
	if err != nil {
		return "", err
	}
	o := t.options
	room := t.session.IDs.Limits().Context - len(ids) + 1
	if room < 1 {
		return "", fmt.Errorf("the conversation has %d tokens, more than the context; %s begins anew", len(ids), resetLine)
	}
	if !t.bounded {
		o.Max = room
	}
	o.Max = min(o.Max, room)
	var answer strings.Builder
	for token, err := range t.session.Answer(ctx, ids, o) {
		if err != nil {
			fmt.Fprintln(t.s.Out)
			return answer.String(), err
		}
		answer.WriteString(token.Text)
		fmt.Fprint(t.s.exact(), token.Text)
	}
	fmt.Fprintln(t.s.Out)
	return answer.String(), nil
}
