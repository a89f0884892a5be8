package cpu

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/cpu"

	"foundry/runtime/child"
)

// compiler is the C++ compiler found on this machine.
type compiler struct {
	path    string
	version string   // the first line that it says of itself
	id      string   // all that it says of itself
	flags   []string // flags for every unit
}

// ErrNoCompiler: no C++ compiler is installed, so kernels cannot be built.
var ErrNoCompiler = child.Absent("cpu: no C++ compiler found")

func findCompiler(ctx context.Context, cxx string) (*compiler, error) {
	names := []string{"c++", "g++", "clang++"}
	if cxx != "" {
		names = []string{cxx}
	}
	path, err := child.Find(names...)
	if err != nil {
		return nil, fmt.Errorf("%w (looked for %s); install one (Debian, Ubuntu: apt install g++; macOS: xcode-select --install) or take --device ref",
			ErrNoCompiler, strings.Join(names, ", "))
	}
	out, _, err := child.Run(ctx, child.Command{Path: path, Args: []string{"--version"}, Limits: child.ForCompilers})
	if err != nil {
		return nil, fmt.Errorf("cpu: %w", err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return &compiler{path: path, version: first, id: string(out), flags: machineFlags(append([]string(nil), commonFlags...))}, nil
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

// key is the hash of all that something compiled is made of: of the parts, and of the
// compiler with its flags.
func (c *compiler) key(parts ...string) string {
	hash := sha256.New()
	for _, list := range [][]string{{c.id}, c.flags, parts} {
		fmt.Fprintf(hash, "%d ", len(list))
		for _, part := range list {
			fmt.Fprintf(hash, "%d ", len(part))
			_, _ = io.WriteString(hash, part)
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// compile compiles the C++ text to the object file out.
func (c *compiler) compile(ctx context.Context, work, text, out string, flags []string) error {
	return c.run(ctx, work, text, slices.Concat([]string{"-x", "c++", "-c", "-o", out}, flags, []string{"-"}))
}

// link makes a shared object of the C++ text and of object files in the folder work,
// and returns its path.
func (c *compiler) link(ctx context.Context, work, text string, objects, flags []string) (string, error) {
	out := filepath.Join(work, "out.so")
	return out, c.run(ctx, work, text, slices.Concat([]string{"-shared", "-o", out}, objects, []string{"-x", "c++", "-"}, flags))
}

// compileError is what the compiler said.
type compileError struct{ *child.ExitError }

func (e *compileError) Error() string { return "cpu: " + e.first() }

// first is the first line that is an error, with how many more there are; where no
// line is marked as one, how the compiler ended.
func (e *compileError) first() string {
	var found []string
	for _, l := range strings.Split(string(e.Stderr), "\n") {
		if strings.Contains(l, "error:") && !strings.Contains(l, "linker command") && !strings.Contains(l, "ld returned") {
			found = append(found, strings.TrimSpace(l))
		}
	}
	switch len(found) {
	case 0:
		return e.ExitError.Error()
	case 1:
		return found[0]
	}
	return fmt.Sprintf("%s (and %d more)", found[0], len(found)-1)
}

// run runs the compiler, which keeps its own temporary files in the folder work.
func (c *compiler) run(ctx context.Context, work, stdin string, args []string) error {
	_, _, err := child.Run(ctx, child.Command{
		Path: c.path, Args: append(append([]string(nil), c.flags...), args...), Stdin: stdin,
		Env: []string{"LC_ALL=C", "TMPDIR=" + work}, Limits: child.ForCompilers,
	})
	var exit *child.ExitError
	if errors.As(err, &exit) {
		return &compileError{exit}
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("cpu: %w", err)
	}
	return err
}
