package confine

import (
	"fmt"
	"os"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// calls are the system calls that remain: memory, threads, time, and what is open.
// None opens, makes, moves or removes a file, starts a program, or reaches another
// process or machine. A name that this processor's table lacks is left out.
var calls = []string{
	"read", "readv", "pread64", "preadv", "write", "writev", "close", "lseek", "fstat", "newfstatat", "statx", "dup",
	"poll", "ppoll", "select", "pselect6",
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "pipe2",
	"mmap", "munmap", "mremap", "mprotect", "madvise", "mincore", "msync", "brk", "membarrier",
	"futex", "set_robust_list", "get_robust_list", "rseq", "set_tid_address", "arch_prctl",
	"sched_yield", "sched_getaffinity", "getcpu", "gettid", "getpid", "getuid", "geteuid", "getgid", "getegid",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "sigaltstack", "restart_syscall",
	"nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "time", "times", "getrusage",
	"timer_create", "timer_settime", "timer_delete", "setitimer", "getitimer",
	"getrandom", "uname", "sysinfo", "exit", "exit_group",
}

// setLimits lowers the process's limits.
func setLimits() error {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return err
	}
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var pages uint64
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		return fmt.Errorf("/proc/self/statm: %w", err)
	}
	var machine unix.Sysinfo_t
	if err := unix.Sysinfo(&machine); err != nil {
		return err
	}
	memory := uint64(machine.Totalram) * uint64(machine.Unit)
	processor := uint64(used.Utime.Sec+used.Stime.Sec) + processorSeconds
	for kind, limit := range map[int]unix.Rlimit{
		unix.RLIMIT_CORE:  {},
		unix.RLIMIT_CPU:   {Cur: processor, Max: processor + 10},
		unix.RLIMIT_AS:    {Cur: pages*uint64(os.Getpagesize()) + memory},
		unix.RLIMIT_FSIZE: {Cur: fileBytes},
	} {
		var has unix.Rlimit
		if err := unix.Getrlimit(kind, &has); err != nil {
			return err
		}
		limit.Cur = min(limit.Cur, has.Cur)
		limit.Max = min(max(limit.Max, limit.Cur), has.Max)
		if err := unix.Setrlimit(kind, &limit); err != nil {
			return err
		}
	}
	return nil
}

// Available reports whether Process can confine this one.
func Available() bool {
	_, err := arch.GetInfo("")
	return err == nil && seccomp.Supported()
}

// Process leaves this process what it has open, its memory and its threads: any
// other system call fails with EPERM, in all threads and for good. It leaves no core
// file, and what it still takes of processor time, memory and files has limits: SIGXCPU
// comes at the first, the end ten seconds later.
func Process() error {
	info, err := arch.GetInfo("")
	if err != nil || !seccomp.Supported() {
		return ErrUnavailable
	}
	if err := setLimits(); err != nil {
		return fmt.Errorf("cannot confine the process: %w", err)
	}
	known := map[string]bool{}
	for _, name := range info.SyscallNumbers {
		known[name] = true
	}
	var names []string
	for _, name := range calls {
		if known[name] {
			names = append(names, name)
		}
	}
	equal := func(argument uint32, value uint64) seccomp.Condition {
		return seccomp.Condition{Argument: argument, Operation: seccomp.Equal, Value: value}
	}
	thread := seccomp.Condition{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_THREAD}
	err = seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionErrno,
			Syscalls: []seccomp.SyscallGroup{
				// C libraries ask for clone3, whose flags no filter can see, and take clone
				// where there is none.
				{Names: []string{"clone3"}, Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)},
				{Names: names, Action: seccomp.ActionAllow, NamesWithCondtions: []seccomp.NameWithConditions{
					{Name: "clone", Conditions: seccomp.ArgumentConditions{thread}},
					{Name: "tgkill", Conditions: seccomp.ArgumentConditions{equal(0, uint64(os.Getpid()))}},
					{Name: "ioctl", Conditions: seccomp.ArgumentConditions{equal(1, unix.TCGETS)}},
					{Name: "ioctl", Conditions: seccomp.ArgumentConditions{equal(1, unix.TIOCGWINSZ)}},
					{Name: "fcntl", Conditions: seccomp.ArgumentConditions{equal(1, unix.F_GETFL)}},
					{Name: "fcntl", Conditions: seccomp.ArgumentConditions{equal(1, unix.F_DUPFD_CLOEXEC)}},
				}},
			},
		},
	})
	if err != nil {
		return fmt.Errorf("cannot confine the process: %w", err)
	}
	return nil
}
