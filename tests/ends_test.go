package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"foundry/runtime/bench"
	filesystem "foundry/runtime/files"
)

// program is the command, built once, as its users have it: signals, pipes and full
// disks are the process's.
var program = sync.OnceValues(func() (string, error) {
	var err error
	if programFolder, err = filesystem.Folder("", "program"); err != nil {
		return "", err
	}
	path := filepath.Join(programFolder.Path, "foundry")
	out, err := exec.Command("go", "build", "-o", path, "foundry/cmd/foundry").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// programFolder is held as long as the tests run; the next run removes it.
var programFolder *filesystem.Dir

// small is a graph of a few operations, as a file.
const small = `graph @g (T=1..4, P=0..0, S<=4) {
  %x = input "x" : f32[T, 64]
  %w = weight "w" : f32[32, 64]
  %y = matmul_nt %x, %w
  %z = silu %y
  return z=%z
}
`

// ended is a command that has ended, and what it left.
type ended struct {
	code      int // the exit code; that of the shell where the interrupt itself ended it
	out, errs string
	took      time.Duration // from the signal, where there was one
	left      []string      // in the folder where it ran, beside what was there
	stalled   bool          // a standard output of another file
}

// ending says how a command is ended.
type ending struct {
	stdout  *os.File      // nil: kept
	when    func() bool   // true: interrupt it now; nil: never
	used    time.Duration // interrupt it with so much processor time used, where the system tells it, else time; 0: not by that
	env     []string      // on top of this process's
	waiting bool          // standard input is a pipe into which nobody writes
}

// runCommand runs a command line in a folder with small.fir and the folder plan, and
// requires that no process of it is left.
func runCommand(t *testing.T, dir string, args []string, how ending) ended {
	t.Helper()
	path, err := program()
	require.NoError(t, err)
	before := list(t, dir)
	var out, errs bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	if how.stdout != nil {
		cmd.Stdout = how.stdout
	}
	if how.waiting {
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		defer in.Close()
	}
	mark := fmt.Sprintf("FOUNDRY_TEST_MARK=%s-%d", t.Name(), time.Now().UnixNano())
	cmd.Env = append(append(os.Environ(), mark), how.env...)
	require.NoError(t, cmd.Start())
	started := time.Now()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	deadline := time.After(time.Minute)
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	var signalled time.Time
	for over := false; !over; {
		select {
		case <-done:
			over = true
		case <-deadline:
			_ = cmd.Process.Kill()
			require.Fail(t, "the command does not end", "%q: %s", args, errs.String())
		case <-poll.C:
			if !signalled.IsZero() {
				continue
			}
			if how.when != nil && how.when() || how.used > 0 && processorTime(cmd.Process.Pid, started) >= how.used {
				signalled = time.Now()
				if err := cmd.Process.Signal(os.Interrupt); !errors.Is(err, os.ErrProcessDone) {
					require.NoError(t, err)
				}
			}
		}
	}
	e := ended{code: cmd.ProcessState.ExitCode(), out: out.String(), errs: errs.String(), stalled: how.stdout != nil}
	// Before its first line a program in Go has no handler, and ends by the signal itself.
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() && status.Signal() == syscall.SIGINT && e.out+e.errs == "" {
		e.code, e.errs = 130, "foundry: interrupted\n"
	}
	if !signalled.IsZero() {
		e.took = time.Since(signalled)
	}
	for _, name := range list(t, dir) {
		if !slices.Contains(before, name) {
			e.left = append(e.left, name)
		}
	}
	require.Eventually(t, func() bool { return len(processesWith(t, mark)) == 0 }, 10*time.Second, 5*time.Millisecond,
		"processes of %q are left", args)
	return e
}

func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		names = append(names, path)
		return err
	}))
	return names
}

// processorTime is what a process and its threads have used, 0 where there is none any more;
// where the system has no /proc, the time since they started.
func processorTime(pid int, started time.Time) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		if _, err := os.Stat("/proc/self/stat"); err == nil {
			return 0
		}
		return time.Since(started)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// processesWith lists the processes whose environment has the mark.
func processesWith(t *testing.T, mark string) (pids []string) {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, path := range found {
		if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, []byte(mark)) {
			pids = append(pids, path)
		}
	}
	return pids
}

// workFolder is a folder to run commands in.
func workFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "small.fir"), []byte(small), 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "variants.txt"), []byte("a = canonicalize\n"), 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rows.json"), []byte(`{"model": "m", "device": "cpu", "phase": "decode", "variant": "a", "modelled": {"apple-m1": 5}}`), 0o666))
	for _, side := range []string{"a", "b"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, side), 0o777))
		for i := range bench.LeastProcesses {
			recorded := fmt.Sprintf("model,device,phase,variant,context,prompt,us\nm,cpu,decode,v,1,2,%d\nm,cpu,decode,v,1,2,%d\n", 100+i, 101+i)
			require.NoError(t, os.WriteFile(filepath.Join(dir, side, fmt.Sprint(i, ".csv")), []byte(recorded), 0o666))
		}
	}
	code, _, errs := foundryCmd(t, nil, "compile", "--model", filepath.Join(dir, "small.fir"), "-o", filepath.Join(dir, "plan"))
	require.Zero(t, code, errs)
	return dir
}

// everyCommand is a line of each command that prints, quick where it can be.
var everyCommand = []string{
	"compile --model small.fir",
	"dot --model small.fir",
	"opt small.fir --passes canonicalize",
	"inspect plan",
	"diff --model small.fir per-layer-6 fewest",
	"seal plan",
	"emulate plan -o emulated",
	"fusions --model small.fir",
	"bench --model small.fir --reps 0",
	"bench compare a -- b",
	"passes",
	"targets",
	"variants",
	"version",
	"run --device ref --prompt In -n 2",
	"eval --device ref --ids 1,2 --context 8",
	"convert --weights q8_0 -o out.gguf",
	"quality --device ref --ids 1,2 --weights f16",
	"plot rows.json -o out.svg",
	"verify small.fir --device ref --quick",
	"devices",
	"help bench",
	"completion bash",
	"completion fish",
	"completion powershell",
	"completion zsh",
	"--version",
}

// commandsBelow lists the commands below that of the path, by the program's own completion,
// those that only hold others left out.
func commandsBelow(t *testing.T, path ...string) (all []string) {
	t.Helper()
	_, out, _ := foundryCmd(t, nil, append(append([]string{"__complete"}, path...), "")...)
	for line := range strings.Lines(out) {
		name, _, described := strings.Cut(line, "\t")
		below := append(slices.Clone(path), name)
		if code, _, _ := foundryCmd(t, nil, append([]string{"help"}, below...)...); !described || code != 0 {
			continue // a name that an argument may have
		}
		all = append(all, commandsBelow(t, below...)...)
		if name != "completion" {
			all = append(all, strings.Join(below, " "))
		}
	}
	return all
}

// commandOf returns the command of a line: the longest of all that its words begin with.
func commandOf(all []string, line string) (found string) {
	for _, name := range all {
		if strings.HasPrefix(line+" ", name+" ") && len(name) > len(found) {
			found = name
		}
	}
	return found
}

// Every command is in the tables: its results go to a full disk and to a closed pipe, and
// it is interrupted at three moments at least.
func TestEveryCommandIsTried(t *testing.T) {
	all := commandsBelow(t)
	require.Greater(t, len(all), 25, all)
	require.Contains(t, all, "bench compare")
	lines, moments := map[string]int{}, map[string]int{}
	for _, line := range everyCommand {
		name := commandOf(all, line)
		lines[name]++
		moments[name] += len(briefly(line))
	}
	for _, c := range interruptions() {
		moments[commandOf(all, c.line)] += len(c.moments)
	}
	for _, name := range all {
		require.Positive(t, lines[name], "command %q is in no row of everyCommand", name)
		require.GreaterOrEqual(t, moments[name], 3, "moments at which %q is interrupted", name)
	}
}

// A closed standard output cannot be told from /dev/null: Go's runtime opens that in its
// place (checkfds in runtime/fds_unix.go), and those who start programs do the same. So
// it is no error; nor does a file take its number, and what is printed with it.
func TestClosedOutput(t *testing.T) {
	t.Parallel()
	path, err := program()
	require.NoError(t, err)
	dir := workFolder(t)
	write := func(script, name string) string {
		cmd := exec.Command("sh", "-c", `exec "$0" "$@" `+script, path, "dot", "--model", "small.fir", "-o", name)
		cmd.Dir = dir
		require.NoError(t, cmd.Run(), script)
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return string(text)
	}
	require.Equal(t, write("", "open.dot"), write(">&- 2>&-", "closed.dot"))
}

// A result that cannot be written is exit code 1 and a line that says so, for each
// command; a pipe that nobody reads ends it without a word, as it does others.
func TestOutputThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	for _, line := range everyCommand {
		t.Run(line, func(t *testing.T) {
			dir := workFolder(t)
			e := runCommand(t, dir, strings.Fields(line), ending{stdout: full})
			require.Equal(t, 1, e.code, e.errs)
			require.Equal(t, "foundry: cannot write to standard output: no space left on device\n", lastLine(e.errs))

			if strings.HasPrefix(line, "emulate") {
				return // a compiler takes ten seconds for it
			}
			read, write, err := os.Pipe()
			require.NoError(t, err)
			require.NoError(t, read.Close())
			e = runCommand(t, dir, strings.Fields(line), ending{stdout: write})
			require.NoError(t, write.Close())
			require.Equal(t, 141, e.code, e.errs)
			require.NotContains(t, e.errs, "foundry: ")
			for _, name := range e.left {
				require.NotContains(t, filepath.Base(name), ".foundry", "a temporary stays")
			}
		})
	}
}

func lastLine(s string) string {
	lines := strings.SplitAfter(strings.TrimRight(s, "\n"), "\n")
	return lines[len(lines)-1] + "\n"
}

// A file that a flag names on a disk that is full, here a limit of file sizes, is not
// there at all, and the command says so.
func TestFilesThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	const limited = `ulimit -f 0; trap '' XFSZ; exec "$@"`
	path, err := program()
	require.NoError(t, err)
	for _, line := range []string{
		"compile --model small.fir -o x",
		"compile --model small.fir -o plan",
		"dot --model small.fir -o x.dot",
		"dot --model small.fir -o x.svg",
		"dot --model small.fir -o x.html",
		"eval --device ref --ids 1,2 --context 8 --logits-out x.safetensors",
		"eval --device ref --model small.fir --logits-out x.safetensors",
		"bench --model small.fir --reps 0 --csv x",
		"bench --model small.fir --reps 0 --plot x.svg",
		"bench --model small.fir --reps 0 --plot x.png",
		"convert --weights q8_0 -o x.gguf",
		"convert --weights affine4 -o x",
	} {
		t.Run(strings.ReplaceAll(line, "/", "_"), func(t *testing.T) {
			dir := workFolder(t)
			before := list(t, dir)
			cmd := exec.Command("sh", append([]string{"-c", limited, "sh", path}, strings.Fields(line)...)...)
			cmd.Dir = dir
			var errs bytes.Buffer
			cmd.Stderr = &errs
			require.Error(t, cmd.Run())
			require.Equal(t, 1, cmd.ProcessState.ExitCode(), errs.String())
			require.Equal(t, 1, strings.Count(errs.String(), "foundry: "), errs.String())
			require.Contains(t, errs.String(), "file too large")
			require.Equal(t, before, list(t, dir), "nothing is left, and nothing is gone")
		})
	}
}

// Two processes of one command that are killed leave nothing that the next does not
// remove, and no process.
func TestKilled(t *testing.T) {
	dir := workFolder(t)
	path, err := program()
	require.NoError(t, err)
	cmd := exec.Command(path, "eval", "--device", "ref", "--prompt", "x", "--greedy", "500", "--context", "512", "--logits-out", "x.safetensors")
	cmd.Dir = dir
	require.NoError(t, cmd.Start())
	temporaries := func() []string {
		found, err := filepath.Glob(filepath.Join(dir, ".*.foundry"))
		require.NoError(t, err)
		return found
	}
	require.Eventually(t, func() bool { return len(temporaries()) == 1 }, 20*time.Second, time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait()
	require.Len(t, temporaries(), 1)
	e := runCommand(t, dir, []string{"eval", "--device", "ref", "--ids", "1", "--logits-out", "x.safetensors"}, ending{})
	require.Zero(t, e.code, e.errs)
	require.Empty(t, temporaries())
}

// echo ends a line that is no part of the prompt.
func TestPipedPrompt(t *testing.T) {
	run := func(in string, args ...string) string {
		t.Helper()
		path, err := program()
		require.NoError(t, err)
		cmd := exec.Command(path, append([]string{"run", "--device", "ref", "-n", "4"}, args...)...)
		cmd.Stdin = strings.NewReader(in)
		out, err := cmd.Output()
		require.NoError(t, err)
		return string(out)
	}
	want := run("", "--prompt", "In the beginning")
	require.Equal(t, want, run("In the beginning\n"))
	require.Equal(t, want, run("In the beginning\r\n"))
	require.NotEqual(t, want, run("In the beginning\n\n"))
	_, help, _ := foundryCmd(t, nil, "run", "--help")
	require.Contains(t, strings.Join(strings.Fields(help), " "), "without its last line break") // lines are folded
}
