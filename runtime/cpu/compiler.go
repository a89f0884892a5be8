package cpu

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/cpu"
)

// compiler is the C++ compiler found on this machine.
type compiler struct {
	path    string
	version string   // its first line
	id      string   // all it says of itself
	flags   []string // for every unit
}

// ErrNoCompiler: no C++ compiler is installed, so kernels cannot be built.
var ErrNoCompiler = errors.New("cpu: no C++ compiler found")

func findCompiler(cxx string) (*compiler, error) {
	names := []string{"c++", "g++", "clang++"}
	if cxx != "" {
		names = []string{cxx}
	}
	for _, n := range names {
		path, err := exec.LookPath(n)
		if err != nil {
			continue
		}
		out, err := exec.Command(path, "--version").Output()
		if err != nil {
			return nil, fmt.Errorf("cpu: %s --version: %w", path, err)
		}
		first, _, _ := strings.Cut(string(out), "\n")
		return &compiler{path: path, version: first, id: string(out), flags: machineFlags(append([]string(nil), commonFlags...))}, nil
	}
	return nil, fmt.Errorf("%w (looked for %s); install one (Debian, Ubuntu: apt install g++; macOS: xcode-select --install) or take --device ref",
		ErrNoCompiler, strings.Join(names, ", "))
}

func (c *compiler) isClang() bool { return strings.Contains(c.version, "clang") }

// commonFlags: no fused multiply-add but where written, no assumption about
// aliasing (kernels cast pointers) or about loops that end, char is signed.
var commonFlags = []string{
	"-std=c++17", "-O3", "-fPIC", "-w", "-pthread",
	"-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
	"-fno-strict-aliasing", "-fno-finite-loops", "-fsigned-char", "-fwrapv",
	"-fno-exceptions", "-fno-rtti", "-fno-stack-protector", "-fno-threadsafe-statics",
	"-fno-asynchronous-unwind-tables", "-fvisibility=hidden",
}

// machineFlags adds what this processor has. The flags are part of a cached
// object's name.
func machineFlags(flags []string) []string {
	switch runtime.GOARCH {
	case "amd64":
		flags = append(flags, "-fcf-protection=none")
		if x := cpu.X86; x.HasAVX2 && x.HasFMA && x.HasBMI1 && x.HasBMI2 && x.HasOSXSAVE {
			flags = append(flags, "-march=x86-64-v3")
		}
	case "arm64":
		flags = append(flags, "-mbranch-protection=none")
	}
	return flags
}

// unit is one C++ text and the flags it needs beyond the common ones.
type unit struct {
	text  string
	flags []string
}

// build compiles units in parallel and links them to a shared object, which is
// found again by the hash of everything that went into it; then built is false.
// progress may be nil.
func (c *compiler) build(ctx context.Context, dir, name string, units []unit, link []string, progress func(done, total int)) (path string, built bool, err error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q", c.id, c.flags, link)
	for _, u := range units {
		fmt.Fprintf(h, "%q %q", u.flags, u.text)
	}
	final := filepath.Join(dir, name+"-"+hex.EncodeToString(h.Sum(nil)[:16])+".so")
	if now := time.Now(); os.Chtimes(final, now, now) == nil { // there, and used again
		return final, false, ctx.Err()
	}
	tmp, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", true, fmt.Errorf("cpu: %w", err)
	}
	defer os.RemoveAll(tmp)
	done := make(chan struct{}, len(units))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	objects := make([]string, len(units))
	for i, u := range units {
		objects[i] = filepath.Join(tmp, fmt.Sprintf("%d.o", i))
		group.Go(func() error {
			args := append(append([]string{"-x", "c++", "-c", "-o", objects[i]}, u.flags...), "-")
			err := c.run(groupCtx, u.text, args)
			done <- struct{}{}
			if progress != nil && err == nil {
				progress(len(done), len(units))
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return "", true, err
	}
	object := filepath.Join(tmp, "out.so")
	if err := c.run(ctx, "", append(append([]string{"-shared", "-o", object}, objects...), link...)); err != nil {
		return "", true, err
	}
	if err := os.Rename(object, final); err != nil { // whole or not at all
		return "", true, fmt.Errorf("cpu: %w", err)
	}
	return final, true, prune(dir)
}

// compileError is what the compiler said.
type compileError struct{ log string }

func (e *compileError) Error() string { return "cpu: " + e.first() }

// first is the first line that is an error, with how many more there are; of a
// linker's words, which have no such mark, the first line.
func (e *compileError) first() string {
	lines := strings.Split(strings.TrimSpace(e.log), "\n")
	var found []string
	for _, l := range lines {
		if strings.Contains(l, "error:") && !strings.Contains(l, "linker command") && !strings.Contains(l, "ld returned") {
			found = append(found, strings.TrimSpace(l))
		}
	}
	switch len(found) {
	case 0:
		return lines[0]
	case 1:
		return found[0]
	}
	return fmt.Sprintf("%s (and %d more)", found[0], len(found)-1)
}

func (c *compiler) run(ctx context.Context, stdin string, args []string) error {
	cmd := exec.CommandContext(ctx, c.path, append(append([]string(nil), c.flags...), args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &compileError{stderr.String()}
	}
	if err != nil {
		return fmt.Errorf("cpu: %w", err)
	}
	return nil
}
