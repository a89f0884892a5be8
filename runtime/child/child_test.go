package child

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// parent is the environment variable that makes this test's binary a process that
// runs a child and is killed meanwhile.
const parent = "FOUNDRY_TEST_PARENT"

// leaving makes it one that leaves its group, says so in a file and then does nothing.
const leaving = "FOUNDRY_TEST_LEAVING"

func TestMain(m *testing.M) {
	if file := os.Getenv(leaving); file != "" {
		if _, err := syscall.Setsid(); err != nil || os.WriteFile(file, nil, 0o600) != nil {
			os.Exit(1)
		}
		time.Sleep(6 * time.Second)
		os.Exit(0)
	}
	if file := os.Getenv(parent); file != "" {
		_, _, _ = Run(context.Background(), shell(startTwo(file)))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func shell(line string) Command { return Command{Path: "/bin/sh", Args: []string{"-c", line}} }

// startTwo starts a grandchild, and says its id and the child's in the file.
func startTwo(file string) string {
	return "sleep 600 & echo $$ $! > " + file + ".new; mv " + file + ".new " + file + "; wait"
}

// started waits for the ids.
func started(t *testing.T, file string) (pids []int) {
	t.Helper()
	require.Eventually(t, func() bool { _, err := os.Stat(file); return err == nil }, 20*time.Second, 5*time.Millisecond)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, f := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(f)
		require.NoError(t, err)
		pids = append(pids, pid)
	}
	require.Len(t, pids, 2)
	return pids
}

func requireGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		require.Eventually(t, func() bool { return !running(pid) }, 10*time.Second, 5*time.Millisecond, "process %d runs on", pid)
	}
}

// running is false for a process that has ended, also one whose parent has not asked.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

func TestRun(t *testing.T) {
	c := shell(`cat; echo to stderr >&2; echo $GIVEN`)
	c.Stdin, c.Env, c.Limits = "in\n", []string{"GIVEN=x"}, ForCompilers
	out, said, err := Run(context.Background(), c)
	require.NoError(t, err)
	require.Equal(t, "in\nx\n", string(out))
	require.Equal(t, "to stderr\n", string(said))
}

// A command that ended has left no file open here.
func TestNoFileStaysOpen(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which closes what nobody has
	open := func() int {
		names, err := os.ReadDir("/dev/fd")
		require.NoError(t, err)
		return len(names)
	}
	_, _, err := Run(context.Background(), shell("true"))
	require.NoError(t, err)
	before := open()
	for range 3 {
		_, _, err := Run(context.Background(), shell("true"))
		require.NoError(t, err)
		_, _, err = Run(context.Background(), shell("exit 3"))
		require.Error(t, err)
	}
	require.Equal(t, before, open())
}

func TestFailures(t *testing.T) {
	big := filepath.Join(t.TempDir(), "big")
	for _, c := range []struct {
		name   string
		line   string
		limits Limits
		want   string
	}{
		{"silent", "exit 7", Limits{}, "failed with exit code 7: it said nothing"},
		{"words", "echo first >&2; echo second >&2; exit 1", Limits{}, "failed with exit code 1: first"},
		{"words of a result", "echo result; exit 1", Limits{}, "failed with exit code 1: result"},
		{"signal", "kill -SEGV $$", Limits{}, `was ended by the signal "segmentation fault"`},
		{"clock", "sleep 600", Limits{Time: 50 * time.Millisecond}, "took longer than 50 ms"},
		{"processor", "while :; do :; done", Limits{Processor: time.Second}, "was ended by the signal"},
		{"file", "dd if=/dev/zero of=" + big + " bs=1048576 count=8", Limits{File: 1 << 20}, "exit code"},
		{"memory", "dd if=/dev/zero of=/dev/null bs=512M count=1", Limits{Memory: 64 << 20}, "memory exhausted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			command := shell(c.line)
			command.Limits = c.limits
			_, _, err := Run(context.Background(), command)
			var exit *ExitError
			require.ErrorAs(t, err, &exit)
			require.Contains(t, err.Error(), c.want)
			require.Contains(t, err.Error(), "/bin/sh -c")
		})
	}
	if info, err := os.Stat(big); err == nil {
		require.LessOrEqual(t, info.Size(), int64(1<<20))
	}
	_, _, err := Run(context.Background(), Command{Path: "/nowhere/compiler"})
	require.ErrorContains(t, err, "exit code 127")
}

// What a compiler may take is what the system holds it to: ten minutes of a processor, 16 GiB
// in KiB, and a file of 1 GiB in blocks of 512 bytes; what is no limit stays as it was.
func TestLimits(t *testing.T) {
	const ask = "ulimit -t; ulimit -v; ulimit -f"
	c := shell(ask)
	c.Limits = ForCompilers
	out, _, err := Run(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, "600\n16777216\n2097152\n", string(out))
	require.Equal(t, 2*ForCompilers.Processor, ForCompilers.Time, "a machine that does other things, too")

	own, err := exec.Command("/bin/sh", "-c", ask).Output()
	require.NoError(t, err)
	out, _, err = Run(t.Context(), shell(ask))
	require.NoError(t, err)
	require.Equal(t, string(own), string(out))

	c.Limits = Limits{Processor: time.Millisecond, File: 1} // less than the system's units
	c.Args[1] = "ulimit -t; ulimit -f"
	out, _, err = Run(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, "1\n1\n", string(out))
}

// Of what a command says 64 MiB are kept, of its line in errors 400 bytes.
func TestWhatIsCut(t *testing.T) {
	var b limitedBuffer
	piece := make([]byte, 1<<20+1)
	for range 65 {
		n, err := b.Write(piece)
		require.NoError(t, err)
		require.Len(t, piece, n, "what is dropped was read, too")
	}
	require.Equal(t, 64<<20, b.written.Len())

	line := strings.Repeat("x", 398)
	require.Equal(t, `"c `+line+`" ended`, (&ExitError{Path: "c", Args: []string{line}, status: "ended"}).Status())
	require.Equal(t, `"c `+line+`..." ended`, (&ExitError{Path: "c", Args: []string{line + "y"}, status: "ended"}).Status())
}

// The error of a command has its exit code, or -1 where it had none, and all that it said.
func TestExitError(t *testing.T) {
	var exit *ExitError
	_, _, err := Run(t.Context(), shell("echo out; echo err >&2; exit 7"))
	require.ErrorAs(t, err, &exit)
	require.Equal(t, ExitError{"/bin/sh", []string{"-c", "echo out; echo err >&2; exit 7"}, 7, []byte("out\n"), []byte("err\n"), "failed with exit code 7"}, *exit)
	_, _, err = Run(t.Context(), shell("kill -9 $$"))
	require.ErrorAs(t, err, &exit)
	require.Equal(t, -1, exit.Code)
}

// A process that left the group and holds what its output is read from is waited for no
// longer than a second.
func TestOneThatLeft(t *testing.T) {
	t.Parallel()
	left := filepath.Join(t.TempDir(), "left")
	c := shell(os.Args[0] + " & while [ ! -e " + left + " ]; do sleep 0.01; done")
	c.Env = []string{leaving + "=" + left}
	start := time.Now()
	_, _, err := Run(t.Context(), c)
	require.ErrorContains(t, err, "cannot run /bin/sh: ")
	require.Less(t, time.Since(start), 4*time.Second)
}

// Programs are looked for in their order; of none the error is of what is absent.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o700))
	}
	t.Setenv("PATH", dir)
	path, err := Find("none", "b", "a")
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "b"), path)
	_, err = Find("none", "such")
	require.EqualError(t, err, "not found: none, such")
	require.ErrorIs(t, err, ErrAbsent)
	require.ErrorIs(t, Absent("x"), ErrAbsent)
	require.NotErrorIs(t, Absent("x"), os.ErrNotExist)
}

// What a command started ends with the context, with the command, and with this process.
func TestNothingStays(t *testing.T) {
	t.Run("context", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "pids")
		ctx, stop := context.WithCancel(context.Background())
		failure := make(chan error)
		go func() {
			_, _, err := Run(ctx, shell(startTwo(file)))
			failure <- err
		}()
		pids := started(t, file)
		stop()
		require.ErrorIs(t, <-failure, context.Canceled)
		requireGone(t, pids)
	})
	t.Run("command", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "pids")
		_, _, err := Run(context.Background(), shell("sleep 600 >/dev/null 2>&1 & echo $$ $! > "+file))
		require.NoError(t, err)
		requireGone(t, started(t, file))
	})
	t.Run("process", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "pids")
		self := exec.Command(os.Args[0])
		self.Env = append(os.Environ(), parent+"="+file)
		require.NoError(t, self.Start())
		pids := started(t, file)
		require.NoError(t, self.Process.Kill())
		_ = self.Wait()
		requireGone(t, pids)
	})
}
