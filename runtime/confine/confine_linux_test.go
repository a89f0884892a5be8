package confine

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// confined names the test's other process, and the folder it may try itself in.
const confined = "FOUNDRY_TEST_CONFINED"

func TestMain(m *testing.M) {
	if dir := os.Getenv(confined); dir != "" {
		os.Exit(inside(dir))
	}
	os.Exit(m.Run())
}

// inside gives up its rights and says what it can still do.
func inside(dir string) int {
	before := make(chan bool)
	after := make(chan error)
	for range 4 { // threads that were there before
		go func() {
			runtime.LockOSThread()
			<-before
			_, err := os.ReadFile(filepath.Join(dir, "secret"))
			after <- err
		}()
	}
	held, err := os.Open(filepath.Join(dir, "held"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if err := Process(); err != nil {
		fmt.Println(err)
		return 1
	}
	close(before)
	for range 4 {
		if err := <-after; err == nil {
			fmt.Println("an older thread reads")
		}
	}
	for what, try := range map[string]func() error{
		"reads":  func() error { _, err := os.ReadFile(filepath.Join(dir, "secret")); return err },
		"lists":  func() error { _, err := os.ReadDir(dir); return err },
		"writes": func() error { return os.WriteFile(filepath.Join(dir, "new"), nil, 0o600) },
		"appends": func() error {
			_, err := os.OpenFile(filepath.Join(dir, "held"), os.O_APPEND|os.O_WRONLY, 0)
			return err
		},
		"removes": func() error { return os.Remove(filepath.Join(dir, "secret")) },
		"renames": func() error { return os.Rename(filepath.Join(dir, "secret"), filepath.Join(dir, "other")) },
		"links":   func() error { return os.Link(filepath.Join(dir, "secret"), filepath.Join(dir, "other")) },
		"chmods":  func() error { return os.Chmod(filepath.Join(dir, "secret"), 0o777) },
		"changes": func() error { return os.Chdir("/") },
		"starts":  func() error { return exec.Command("/bin/true").Run() },
		"execs":   func() error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
		"dials":   func() error { _, err := net.Dial("tcp", "127.0.0.1:1"); return err },
		"listens": func() error { _, err := net.Listen("tcp", "127.0.0.1:0"); return err },
		"sockets": func() error { _, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0); return err },
		"kills":   func() error { return syscall.Kill(os.Getppid(), 0) },
		"traces":  func() error { return syscall.PtraceAttach(os.Getppid()) },
		"mounts":  func() error { return syscall.Mount("none", dir, "tmpfs", 0, "") },
		"forks": func() error {
			_, _, e := syscall.RawSyscall(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0)
			return errno(e)
		},
		"pidfd":    func() error { _, _, e := syscall.RawSyscall(434, uintptr(os.Getppid()), 0, 0); return errno(e) },
		"io_uring": func() error { _, _, e := syscall.RawSyscall(425, 1, 0, 0); return errno(e) },
	} {
		if err := try(); err == nil {
			fmt.Println(what)
		} else if !strings.Contains(err.Error(), "not permitted") && !strings.Contains(err.Error(), "not implemented") {
			fmt.Println(what, err)
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}); err == nil {
		fmt.Println("sets limits")
	}
	if b, err := unix.Mmap(-1, 0, 1<<46, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE); err == nil {
		fmt.Println("takes", len(b), "bytes of address space")
	}
	here, thread := os.Getpid(), unix.Gettid()
	fd := held.Fd()
	for what, try := range map[string]struct {
		call    uintptr
		a, b, c uintptr
		want    syscall.Errno
	}{
		"asks for flags":                {unix.SYS_FCNTL, fd, unix.F_GETFL, 0, 0},
		"sets flags":                    {unix.SYS_FCNTL, fd, unix.F_SETFL, 0, unix.EPERM},
		"locks":                         {unix.SYS_FCNTL, fd, unix.F_GETLK, 0, unix.EPERM},
		"duplicates":                    {unix.SYS_FCNTL, fd, unix.F_DUPFD_CLOEXEC, 0, 0},
		"duplicates for programs":       {unix.SYS_FCNTL, fd, unix.F_DUPFD, 0, unix.EPERM},
		"asks whether it is a terminal": {unix.SYS_IOCTL, fd, unix.TCGETS, 0, unix.ENOTTY},
		"asks how wide it is":           {unix.SYS_IOCTL, fd, unix.TIOCGWINSZ, 0, unix.ENOTTY},
		"types into it":                 {unix.SYS_IOCTL, fd, unix.TIOCSTI, 0, unix.EPERM},
		"signals a thread":              {unix.SYS_TGKILL, uintptr(here), uintptr(thread), 0, 0},
		"signals another's":             {unix.SYS_TGKILL, uintptr(os.Getppid()), uintptr(os.Getppid()), 0, unix.EPERM},
		"starts by flags in memory":     {unix.SYS_CLONE3, 0, 0, 0, unix.ENOSYS},
	} {
		if _, _, err := syscall.RawSyscall(try.call, try.a, try.b, try.c); err != try.want {
			fmt.Println(what+":", err, "in place of", try.want)
		}
	}
	b := make([]byte, 4)
	if _, err := held.Read(b); err != nil || string(b) != "held" {
		fmt.Println("cannot read what is open:", err)
	}
	var group sync.WaitGroup
	for range 50 { // new threads, a collection, memory
		group.Go(func() {
			runtime.LockOSThread()
			runtime.GC()
			_ = make([]byte, 1<<20)
		})
	}
	group.Wait()
	fmt.Println("done")
	_, _ = os.Stdin.Read(b) // as long as it is looked at
	return 0
}

func errno(e syscall.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

func TestProcess(t *testing.T) {
	if !Available() {
		t.Skip(ErrUnavailable)
	}
	dir := t.TempDir()
	for _, name := range []string{"secret", "held"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), confined+"="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "done\n", said)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", cmd.Process.Pid))
	require.NoError(t, err)
	for _, want := range []string{
		`Max cpu time +864\d\d +864\d\d +seconds`, `Max core file size +0 +0 `,
		`Max file size +1073741824 +1073741824 `, `Max address space +\d+ +\d+ `,
	} {
		require.Regexp(t, want, string(limits))
	}
	var seconds [2]int
	_, line, _ := strings.Cut(string(limits), "Max cpu time")
	_, err = fmt.Sscan(line, &seconds[0], &seconds[1])
	require.NoError(t, err)
	require.Equal(t, 10, seconds[1]-seconds[0], "the end comes ten seconds behind SIGXCPU")
	require.True(t, 24*3600 <= seconds[0] && seconds[0] < 24*3600+60, "behind what it took until then")
	var machine unix.Sysinfo_t
	require.NoError(t, unix.Sysinfo(&machine))
	var space uint64
	_, line, _ = strings.Cut(string(limits), "Max address space")
	_, err = fmt.Sscan(line, &space)
	require.NoError(t, err)
	memory := uint64(machine.Totalram) * uint64(machine.Unit)
	require.True(t, memory+100<<20 < space && space < memory+64<<30, "the machine's memory beyond what a program in Go has")
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait())
}
