package tests

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"foundry/runtime/child"
	"foundry/runtime/devicetest"
)

// moment is when a command is interrupted: what it is run with, and whether it is time.
type moment func(t *testing.T, dir string) ending

// atOnce is with the process's first instructions.
func atOnce(*testing.T, string) ending { return ending{when: func() bool { return true }} }

// used is when the command has used so much processor time: it is as far then on every
// machine, whatever else runs there.
func used(d time.Duration) moment {
	return func(*testing.T, string) ending { return ending{used: d} }
}

// atStart is before most commands have read their model.
var atStart = used(20 * time.Millisecond)

// after is when the command waits, so long behind the start on an idle machine.
func after(d time.Duration) ending {
	var moment time.Time
	return ending{when: func() bool {
		if moment.IsZero() {
			moment = time.Now().Add(time.Duration(share() * float64(d)))
		}
		return time.Now().After(moment)
	}}
}

// stalled is when nobody reads what it prints, and the pipe is full.
func stalled(t *testing.T, _ string) ending {
	read, write, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { read.Close(); write.Close() })
	_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, write.Fd(), 1031 /* F_SETPIPE_SZ */, 4096)
	require.Zero(t, errno)
	_, err = write.Write(make([]byte, 4096)) // it is full: the shortest output waits, too
	require.NoError(t, err)
	e := after(400 * time.Millisecond)
	e.stdout = write
	e.used = 500 * time.Millisecond // what computes for longer is not waited for
	return e
}

// atVersion is when a C++ compiler has been asked for its version and does not answer.
func atVersion(t *testing.T, _ string) ending {
	return compiling(t, "touch \"$0.asked\"; sleep 600", "")
}

// atBuild is when a C++ compiler compiles and does not end, nor does a child of it.
func atBuild(t *testing.T, _ string) ending {
	return compiling(t, ":", "cat >/dev/null; touch \"$0.asked\"; sleep 600 & sleep 600")
}

// compiling is a compiler of two lines of shell, and the moment at which one of them
// has made its mark.
func compiling(t *testing.T, version, build string) ending {
	path := filepath.Join(t.TempDir(), "cxx")
	text := fmt.Sprintf("#!/bin/sh\nif [ \"$*\" = --version ]; then %s; echo cxx; exit; fi\n%s\n", version, build)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o700))
	return ending{
		env:  []string{"CXX=" + path, "XDG_CACHE_HOME=" + t.TempDir()},
		when: func() bool { _, err := os.Stat(path + ".asked"); return err == nil },
	}
}

// waiting is when nothing comes from standard input.
func waiting(*testing.T, string) ending {
	e := after(100 * time.Millisecond)
	e.waiting = true
	return e
}

// running is when a command that opt runs has begun.
func running(_ *testing.T, dir string) ending {
	mark := filepath.Join(dir, "plan", "begun")
	return ending{when: func() bool { return os.Remove(mark) == nil }}
}

// share is how much longer than on an idle machine something takes now, at least 1: the
// time that a busy loop takes over the processor time that it gets.
func share() float64 {
	var before, after syscall.Rusage
	began := time.Now()
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	used := func() time.Duration {
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
		return time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	}
	for used() < 20*time.Millisecond {
	}
	return max(1, float64(time.Since(began))/float64(used()))
}

// interruption is a command line and when it is interrupted.
type interruption struct {
	line    string
	quick   bool // done with all of it, perhaps, sooner than it has to end
	moments map[string]moment
}

// interruptions are what takes long, at moments that depend on what it does.
func interruptions() []interruption {
	ids := " --ids " + strings.Repeat("1,2,3,4,5,6,7,8,", 60) + "9"
	const (
		run   = "run --device ref --prompt x -n 500 --ignore-end --context 512"
		eval  = "eval --device ref --prompt x --greedy 500 --context 512"
		large = " --model synth:qwen2.5-72b"
	)
	return []interruption{
		{run, false, map[string]moment{"at the start": atStart, "under way": used(400 * time.Millisecond)}},
		{"run --device ref", false, map[string]moment{"standard input": waiting}},
		{"run --prompt x", false, map[string]moment{"version of a compiler": atVersion}},
		{"run --device cpu --prompt x", false, map[string]moment{"build": atBuild}},
		{eval, false, map[string]moment{"at the start": atStart, "under way": used(300 * time.Millisecond)}},
		{"eval --device cpu --ids 1 --logits-out x.safetensors", false, map[string]moment{"version of a compiler": atVersion, "build": atBuild}},
		{"quality --device ref --weights f16,q8_0,q4_0,q5_0,q4_1" + ids, false, map[string]moment{"at the start": atStart, "under way": used(300 * time.Millisecond)}},
		{"quality --device cpu --weights q8_0 --ids 1,2", false, map[string]moment{"build": atBuild}},
		{"verify --device ref --quick", false, map[string]moment{"at the start": atStart, "under way": used(600 * time.Millisecond)}},
		{"verify --device cpu --quick", false, map[string]moment{"build": atBuild}},
		{"bench --variants all --reps 0", false, map[string]moment{"at the start": atStart, "under way": used(400 * time.Millisecond)}},
		{"bench --device cpu", false, map[string]moment{"build": atBuild}},
		{"convert --model synth:qwen2.5-7b --weights q4_0 -o x.gguf", false, map[string]moment{"at the start": atStart, "under way": used(300 * time.Millisecond), "later": used(900 * time.Millisecond)}},
		{"compile" + large + " -o x", true, map[string]moment{"at the start": atStart, "under way": used(100 * time.Millisecond)}},
		{"compile" + large, false, map[string]moment{"output": stalled}},
		{"dot" + large + " --layer 1", true, map[string]moment{"at the start": atStart}},
		{"dot" + large, false, map[string]moment{"output": stalled}},
		{"dot" + large + " -o x.html", false, map[string]moment{"at the start": atStart, "under way": used(400 * time.Millisecond)}},
		{"bench compare a -- b", false, map[string]moment{"output": stalled}},
		{"opt small.fir --bisect", false, map[string]moment{"command": running}},
		{"inspect synth:qwen2.5-7b --scan", false, map[string]moment{"at the start": atStart, "under way": used(300 * time.Millisecond)}},
		{"diff" + large + " unfused fewest", true, map[string]moment{"at the start": atStart, "output": stalled}},
		{"devices", false, map[string]moment{"version of a compiler": atVersion}},
		{"fusions" + large, true, map[string]moment{"at the start": atStart, "output": stalled}},
		{"passes", false, map[string]moment{"output": stalled}},
		{"emulate plan -o emulated", false, map[string]moment{"version of a compiler": atVersion, "build": atBuild}},
		{"completion bash", false, map[string]moment{"output": stalled}},
	}
}

// briefly are the moments for a line of everyCommand: before its process has read anything,
// a little later, and while nobody reads what it prints.
func briefly(line string) map[string]moment {
	if strings.HasPrefix(line, "emulate") {
		return map[string]moment{"at once": atOnce} // a compiler takes ten seconds for all of it
	}
	return map[string]moment{"at once": atOnce, "early": used(10 * time.Millisecond), "output": stalled}
}

// An interrupt ends each command within a second, whatever it does, with exit code 130
// and a word; nothing is left of it, no file and no process. The second is one of an
// idle machine: where others take processors, it is as much longer as a loop is.
func TestInterrupts(t *testing.T) {
	t.Parallel()
	for _, c := range interruptions() {
		for name, m := range c.moments {
			t.Run(strings.Fields(c.line)[0]+", "+name, func(t *testing.T) { interrupt(t, c, m) })
		}
	}
}

// So it ends every command in the moments that all have, in which some are done.
func TestInterruptsOfAll(t *testing.T) {
	t.Parallel()
	for _, line := range everyCommand {
		for name, m := range briefly(line) {
			t.Run(line+", "+name, func(t *testing.T) { interrupt(t, interruption{line: line, quick: name != "output"}, m) })
		}
	}
}

func interrupt(t *testing.T, c interruption, m moment) {
	dir := workFolder(t)
	args := strings.Fields(c.line)
	if args[len(args)-1] == "--bisect" {
		args = append(args, "touch plan/begun; sleep 600 & sleep 600; : {}")
	}
	e := runCommand(t, dir, args, m(t, dir))
	if e.took > time.Second {
		require.Less(t, e.took.Seconds(), share())
	}
	if c.quick && e.code == 0 {
		return
	}
	require.Equal(t, 130, e.code, "%s%s", e.out, e.errs)
	require.Equal(t, "foundry: interrupted\n", lastLine(e.errs))
	for _, path := range e.left { // a file that was finished before there was anything to print
		require.True(t, e.stalled && filepath.Base(path) == args[len(args)-1], path)
	}
}

// Of a bench that is interrupted the rows are printed as far as they are measured, and
// the samples are in their file.
func TestInterruptedBench(t *testing.T) {
	_, err := child.Find("c++", "g++", "clang++")
	devicetest.Need(t, err)
	dir := workFolder(t)
	quick := []string{"bench", "--device", "cpu", "--model", "small.fir", "--variants", "unfused,default"}
	e := runCommand(t, dir, append(quick, "--reps", "1"), ending{}) // builds what the next one uses
	require.Zero(t, e.code, e.errs)
	began := time.Now()
	e = runCommand(t, dir, append(quick, "--reps", "100000000", "--csv", "samples.csv"), ending{when: func() bool { return time.Since(began) > 2*time.Second }})
	require.Equal(t, 130, e.code, e.errs)
	require.Equal(t, "foundry: interrupted\n", lastLine(e.errs))
	require.Contains(t, e.out, " measured ")
	require.Contains(t, e.out, " default ")
	require.Equal(t, []string{filepath.Join(dir, "samples.csv")}, e.left)
	samples, err := os.ReadFile(filepath.Join(dir, "samples.csv"))
	require.NoError(t, err)
	require.Greater(t, bytes.Count(samples, []byte("\n")), 2)
}
