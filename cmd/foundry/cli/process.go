package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// process is one command line under way: what it prints to, what ends it, and what is
// printed of a command that is interrupted.
type process struct {
	out    *output
	cancel context.CancelCauseFunc
	again  chan struct{} // a channel that a second signal closes

	mu       sync.Mutex
	finished func(IO) error   // a function that prints what the command has finished
	talk     chan<- os.Signal // the taker of interrupts in place of the command
}

// An interrupted command has this long to end by itself, and what it had finished
// this long to be printed: a second in all, whatever is running.
const (
	endTime   = 500 * time.Millisecond
	printTime = 300 * time.Millisecond
)

// signalError is why a command ends.
type signalError struct{ os.Signal }

func (e signalError) Error() string {
	if e.Signal == os.Interrupt {
		return "interrupted"
	}
	return "ended by the signal: " + e.Signal.String()
}

// code is the exit code that shells give a process that the signal ends.
func (e signalError) code() int {
	n, _ := e.Signal.(syscall.Signal)
	return 128 + int(n)
}

// codeOfPipe is the exit code of one who writes into a pipe that nobody reads.
const codeOfPipe = 128 + int(syscall.SIGPIPE)

// run executes the command line of root and returns the exit code.
func (p *process) run(ctx context.Context, root *cobra.Command, s IO) int {
	over := make(chan struct{})
	defer close(over)
	go p.listen(s.Signals, over)
	done := make(chan error, 1)
	go func() { done <- root.ExecuteContext(ctx) }()
	err := p.wait(ctx, done)
	failed, cause := p.out.end(), context.Cause(ctx)
	switch {
	case errors.Is(failed, syscall.EPIPE):
		return codeOfPipe
	case failed != nil:
		if of := (*fs.PathError)(nil); errors.As(failed, &of) {
			failed = of.Err
		}
		err = fmt.Errorf("cannot write to standard output: %w", failed)
	case err == nil:
		return 0
	case cause != nil:
		p.printFinished(s)
		why := signalError{os.Interrupt}
		errors.As(cause, &why)
		fmt.Fprintf(s.Err, "foundry: %v\n", why)
		return why.code()
	}
	fmt.Fprintf(s.Err, "foundry: %s\n", oneLine(err))
	var usage usageError
	var slower slowerError
	switch {
	case errors.As(err, &usage):
		return 2
	case errors.As(err, &slower):
		return 3
	}
	return 1
}

// listen ends the command at a signal, and the wait for its end at a second one. A
// conversation takes interrupts.
func (p *process) listen(signals <-chan os.Signal, over <-chan struct{}) {
	for first := true; ; {
		select {
		case <-over:
			return
		case signal := <-signals:
			p.mu.Lock()
			talk := p.talk
			p.mu.Unlock()
			switch {
			case talk != nil && signal == os.Interrupt:
				select {
				case talk <- signal:
				default: // one is on its way
				}
			case first:
				first = false
				p.cancel(signalError{signal})
			default:
				close(p.again)
				return
			}
		}
	}
}

// wait waits for the command or, once that was interrupted, for a while.
func (p *process) wait(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(endTime):
	case <-p.again:
	}
	return context.Cause(ctx)
}

// whenInterrupted sets what prints what is finished so far, nil for nothing. It may
// run while the command does.
func (p *process) whenInterrupted(print func(IO) error) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished = print
}

// printFinished prints what an interrupted command had finished, whether it has ended
// or is given up.
func (p *process) printFinished(s IO) {
	p.mu.Lock()
	print := p.finished
	p.mu.Unlock()
	if print == nil {
		return
	}
	printed := make(chan struct{})
	go func() {
		out := &output{to: p.out.to, failed: func(error) {}}
		s.Out = out
		_ = print(s)
		_ = out.end()
		close(printed)
	}()
	select {
	case <-printed:
	case <-time.After(printTime): // nobody reads
	case <-p.again:
	}
}

// talking gives interrupts to a conversation, which ends an answer with them, and back
// with nil.
func (p *process) talking(to chan<- os.Signal) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.talk = to
}
