package cli

import (
	"errors"
	"io"
	"os"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"

	"foundry/ir/names"
)

// output is where a command prints: the one writer for all of them. The first error is
// kept and ends the command; nothing is written behind it. What would control a
// terminal is spelled out.
type output struct {
	to     io.Writer
	failed func(error) // a function to tell the first error

	mu      sync.Mutex
	pending []byte // the begin of a character whose end comes with the next write
	err     error
}

var errEnded = errors.New("the command has ended")

// Write implements io.Writer for lines for people and for data as text.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := append(o.pending, p...)
	whole := len(text)
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if c := text[len(text)-back]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(text[len(text)-back:]) {
				whole = len(text) - back
			}
			break
		}
	}
	o.pending = append([]byte(nil), text[whole:]...)
	return len(p), o.write([]byte(names.PlainText(string(text[:whole]))))
}

// end writes what is left of a last character and returns the first error. No more
// comes through of a command that is no longer waited for; a write of it that is under
// way is not waited for either.
func (o *output) end() error {
	if !o.mu.TryLock() {
		return nil
	}
	defer o.mu.Unlock()
	if left := names.PlainText(string(o.pending)); left != "" {
		_ = o.write([]byte(left))
	}
	err := o.err
	if o.pending = nil; o.err == nil {
		o.err = errEnded
	}
	return err
}

// write writes bytes as they are.
func (o *output) write(p []byte) error {
	if o.err != nil {
		return o.err
	}
	if _, err := o.to.Write(p); err != nil {
		o.err = err
		o.failed(err)
	}
	return o.err
}

// exact is the output for what shall arrive byte for byte, such as a model's text: to
// a terminal it is spelled like all else.
func (o *output) exact() io.Writer {
	if f, ok := o.to.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return o
	}
	return exactOutput{o}
}

type exactOutput struct{ *output }

func (o exactOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(p), o.write(p)
}

// messages is the error stream: what would control a terminal is spelled out, and
// errors are nobody's.
type messages struct{ to io.Writer }

func (m messages) Write(p []byte) (int, error) {
	_, _ = io.WriteString(m.to, names.PlainText(string(p)))
	return len(p), nil
}
