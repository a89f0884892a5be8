// Package child runs other programs (compilers, Graphviz, a shell's command) so that
// none outlives its reason: each in a process group of its own, which is killed when
// the context ends, when the program ends before what it started, and when this
// process dies, however it does. Limits of time, memory and file size hold for all
// of the group's processes.
//
// Groups and limits are set by the system's shell, which all systems with compilers
// have: it starts a watch that reads from a pipe whose other end this process holds
// open, and then becomes the program.
package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"foundry/ir/names"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Command is a program to run.
type Command struct {
	Path  string // the executable's path, as exec.LookPath returns it
	Args  []string
	Dir   string   // the working folder; "" is this process's
	Env   []string // NAME=VALUE, on top of this process's
	Stdin string
	Limits
}

// Limits of a command; a zero is none.
type Limits struct {
	Time      time.Duration // time by the clock, for the command
	Processor time.Duration // processor time for each process, in whole seconds
	Memory    int64         // bytes of address space, for each process
	File      int64         // bytes of each file that is written
}

// ForCompilers are far beyond what the largest kernel takes, and stop a text that
// was made to exhaust the machine.
var ForCompilers = Limits{Time: 20 * time.Minute, Processor: 10 * time.Minute, Memory: 16 << 30, File: 1 << 30}

// outputBytes is how much a command may say; the rest is dropped.
const outputBytes = 64 << 20

// script takes the limits, in seconds, KiB and blocks of 512 bytes, and the command
// line. A limit that the system does not have, or has lower, stays as it is. The watch
// ends when the pipe does, with all of the group.
const script = `{ read -r _ <&3; kill -9 0; } </dev/null >/dev/null 2>&1 &
ulimit -t $1 2>/dev/null; ulimit -v $2 2>/dev/null; ulimit -f $3 2>/dev/null
shift 3
exec "$@" 3<&-`

// Run runs the command to its end and returns what it wrote. The error is ctx's when
// that ended, and an *ExitError when the command failed.
func Run(ctx context.Context, c Command) (stdout, stderr []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	limited := ctx
	if c.Time > 0 {
		var stop context.CancelFunc
		limited, stop = context.WithTimeout(ctx, c.Time)
		defer stop()
	}
	watched, held, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot run %s: %w", c.Path, err)
	}
	limit := func(n, unit int64) string {
		if n <= 0 {
			return "unlimited"
		}
		return fmt.Sprint(max(1, n/unit))
	}
	args := append([]string{"-c", script, "sh",
		limit(int64(c.Processor), int64(time.Second)), limit(c.Memory, 1<<10), limit(c.File, 512), c.Path}, c.Args...)
	cmd := exec.CommandContext(limited, "/bin/sh", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = c.Dir, append(os.Environ(), c.Env...), strings.NewReader(c.Stdin)
	cmd.ExtraFiles = []*os.File{watched}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // for one that left the group and holds a pipe
	var out, said limitedBuffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Start()
	watched.Close()
	if err == nil {
		err = cmd.Wait()
	}
	held.Close() // ends the watch, and what the command left running
	switch {
	case err == nil:
		return out.written.Bytes(), said.written.Bytes(), nil
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	}
	failed := &ExitError{Path: c.Path, Args: c.Args, Stdout: out.written.Bytes(), Stderr: said.written.Bytes()}
	var exit *exec.ExitError
	switch {
	case limited.Err() != nil:
		failed.status = fmt.Sprintf("took longer than %s and was ended", names.Duration(c.Time))
	case !errors.As(err, &exit):
		return nil, nil, fmt.Errorf("cannot run %s: %w", c.Path, err)
	default:
		status := exit.Sys().(syscall.WaitStatus)
		failed.Code = status.ExitStatus()
		failed.status = fmt.Sprintf("failed with exit code %d", failed.Code)
		if status.Signaled() {
			failed.status = fmt.Sprintf("was ended by the signal %q", status.Signal())
		}
	}
	return nil, nil, failed
}

// ExitError is a command that failed.
type ExitError struct {
	Path           string
	Args           []string
	Code           int // the exit code; -1 for one that was ended
	Stdout, Stderr []byte
	status         string
}

// Error names the command, how it ended, and the first line of what it said.
func (e *ExitError) Error() string {
	said := strings.TrimSpace(string(e.Stderr))
	if said == "" {
		said = strings.TrimSpace(string(e.Stdout))
	}
	line, _, _ := strings.Cut(said, "\n")
	if line == "" {
		line = "it said nothing"
	}
	return fmt.Sprintf("%s: %s", e.Status(), line)
}

// Status names the command and how it ended. A long command line is cut.
func (e *ExitError) Status() string {
	line := strings.Join(append([]string{e.Path}, e.Args...), " ")
	const most = 400
	if len(line) > most {
		line = line[:most] + "..."
	}
	return fmt.Sprintf("%q %s", line, e.status)
}

// limitedBuffer keeps what comes first.
type limitedBuffer struct{ written bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if room := outputBytes - b.written.Len(); room > 0 {
		b.written.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
