package cpu

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ebitengine/purego"
	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// one returns the only file that the pattern names.
func one(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.Len(t, found, 1, pattern)
	return found[0]
}

// replace puts another file in the place of path, which may be mapped.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, content, 0o600))
}

// A damaged object of the cache is made anew, and the cache is whole again; nothing
// damaged is loaded. The kernels and the executor are both such objects.
func TestDamagedCache(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	open(t, Options{}) // skips
	cc, err := findCompiler(t.Context(), "")
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "cache")
	kept, err := cacheFolder(dir)
	require.NoError(t, err)
	text := `extern "C" __attribute__((visibility("default"))) int answer() { return 42; }`
	o := object{name: "answer", symbol: "answer", of: []string{text}, build: func(ctx context.Context, work string) (string, error) {
		return cc.link(ctx, work, text, nil, nil)
	}}
	answer := func(built bool) {
		t.Helper()
		lib, err := kept.open(t.Context(), cc, o, purego.RTLD_NOW|purego.RTLD_LOCAL)
		require.NoError(t, err)
		require.Equal(t, built, lib.built)
		f, err := purego.Dlsym(lib.handle, "answer")
		require.NoError(t, err)
		n, _, _ := purego.SyscallN(f)
		require.EqualValues(t, 42, n)
		require.NoError(t, purego.Dlclose(lib.handle))
	}
	answer(true)
	answer(false)
	stranger := filepath.Join(t.TempDir(), "stranger.so") // a shared object without our function
	require.NoError(t, cc.run(t.Context(), t.TempDir(), "int nothing;", []string{"-shared", "-o", stranger, "-x", "c++", "-"}))
	other, err := os.ReadFile(stranger)
	require.NoError(t, err)
	so, entry := one(t, filepath.Join(dir, "answer-*.so")), one(t, filepath.Join(dir, "answer-*.entry"))
	whole, err := os.ReadFile(so)
	require.NoError(t, err)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for what, content := range map[string][]byte{
		"empty": nil, "text": []byte("no object"), "cut": whole[:len(whole)/2], "a bit": flipped, "another": other,
	} {
		t.Run(what, func(t *testing.T) {
			replace(t, so, content)
			answer(true)
			answer(false)
			healed, err := os.ReadFile(so)
			require.NoError(t, err)
			require.Equal(t, whole, healed)
		})
	}
	t.Run("without its function", func(t *testing.T) {
		forged := filepath.Join(dir, nameOfObject("answer", other, ".so"))
		require.NoError(t, os.WriteFile(forged, other, 0o600))
		replace(t, entry, []byte(filepath.Base(forged)))
		answer(true)
		answer(false)
		require.NoError(t, os.Remove(forged))
	})
	for name, path := range map[string]string{"object": so, "entry": entry} {
		for what, place := range map[string]func() error{
			"a folder": func() error { return os.MkdirAll(filepath.Join(path, "a"), 0o700) },
			"a pipe":   func() error { return syscall.Mkfifo(path, 0o600) },
			"a link":   func() error { return os.Symlink(stranger, path) },
		} {
			t.Run(what+" for the "+name, func(t *testing.T) {
				require.NoError(t, os.Remove(path))
				require.NoError(t, place())
				answer(true)
				answer(false)
			})
		}
		t.Run("one that nobody can read for the "+name, func(t *testing.T) {
			require.NoError(t, os.Chmod(path, 0))
			answer(false) // ours, and so made readable
		})
	}
	untouched, err := os.ReadFile(stranger)
	require.NoError(t, err)
	require.Equal(t, other, untouched)
	t.Run("elsewhere", func(t *testing.T) {
		replace(t, entry, []byte("../"+filepath.Base(so)))
		answer(true)
	})
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 2)
	for _, e := range left {
		info, err := e.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode(), e.Name())
	}
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestCacheIsPruned(t *testing.T) {
	dir := t.TempDir()
	want := 0
	for kind, kept := range filesKept {
		for i := range kept + 5 {
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d%s", i, kind)), nil, 0o600))
		}
		want += kept
	}
	require.NoError(t, objectCache{dir: dir}.prune())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, want)
}

// A kernel is compiled once, whatever plans it is in, and where its object is damaged
// once more. Plans take some of the kernels of an object, and of two that hold the same.
func TestPlansShareKernels(t *testing.T) {
	kernel := func(name, value string) plan.Kernel {
		return sketch{
			name: name, threads: 1, slots: []plan.Slot{slot(plan.Write, "float", "y")},
			prelude: "constant float kValue = " + value + "; inline float value() { return kValue; }", body: "y[0] = value();",
		}.kernel()
	}
	d := open(t, Options{CacheDir: t.TempDir()})
	fresh := func(want int, values []float32, kernels ...plan.Kernel) {
		t.Helper()
		prog, err := d.Load(t.Context(), &plan.Plan{Kernels: kernels}, nil)
		require.NoError(t, err)
		require.Equal(t, want, prog.(*program).Startup()[0].Fresh)
		r := &rig{t, d, prog}
		for i, v := range values {
			y := r.alloc(4)
			require.NoError(t, r.run(launch(i, 1, bind(plan.Write, y))))
			require.Equal(t, []float32{v}, get[float32](t, y, 1))
		}
		require.NoError(t, prog.Close())
	}
	a, b, c, other := kernel("a", "1.0f"), kernel("b", "2.0f"), kernel("c", "3.0f"), kernel("a", "4.0f")
	fresh(2, []float32{1, 2}, a, b)
	fresh(1, []float32{3, 1}, c, a)
	fresh(0, []float32{2, 3, 1}, b, c, a)
	fresh(0, []float32{2, 3, 1}, b, c, a)
	fresh(1, []float32{4, 2}, other, b)
	keys, err := d.keys([]plan.Kernel{b})
	require.NoError(t, err)
	require.NoError(t, os.Remove(d.objects.entry("kernel", keys[0])))
	fresh(1, []float32{2, 4}, b, other)
	fresh(0, []float32{2, 1}, b, a) // b is in the objects of both
	spoiled, err := filepath.Glob(filepath.Join(d.CacheDir(), "kernel-*.o"))
	require.NoError(t, err)
	require.Len(t, spoiled, 4)
	for _, path := range spoiled {
		replace(t, path, []byte("no object"))
	}
	fresh(2, []float32{1, 3}, a, c)
	fresh(1, []float32{1, 3, 2}, a, c, b)
}

// compilerThat is a program that stands for a compiler: it answers --version, and
// does what the line of shell says for all else.
func compilerThat(t *testing.T, version, otherwise string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cxx")
	text := fmt.Sprintf("#!/bin/sh\nif [ \"$*\" = --version ]; then %s; exit; fi\n%s\n", version, otherwise)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o700))
	return path
}

// A compiler that says nothing is reported with its command and exit code.
func TestSilentCompiler(t *testing.T) {
	cxx := compilerThat(t, "echo cxx 1", "exit 3")
	_, err := Open(t.Context(), Options{CXX: cxx, CacheDir: t.TempDir()})
	require.ErrorContains(t, err, "the executor does not build: cpu: ")
	require.ErrorContains(t, err, cxx+" -std=c++17")
	require.ErrorContains(t, err, "failed with exit code 3: it said nothing")
	_, err = Open(t.Context(), Options{CXX: compilerThat(t, "exit 9", ""), CacheDir: t.TempDir()})
	require.ErrorContains(t, err, "--version\" failed with exit code 9")
}

// A compiler that a text makes take too much is ended, which the error says; what it wrote
// goes with its folder.
func TestCompilersAreLimited(t *testing.T) {
	for what, c := range map[string]struct{ line, want string }{
		"memory":    {"exec dd if=/dev/zero of=/dev/null bs=17G count=1", "memory exhausted"},
		"file":      {`exec dd if=/dev/zero of="$TMPDIR/big" bs=1M seek=1024 count=1`, "file size limit exceeded"},
		"processor": {"ulimit -t >&2; exit 1", "600"}, // ten minutes are not waited for
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			_, err := Open(t.Context(), Options{CXX: compilerThat(t, "echo cxx 1", "cat >/dev/null; "+c.line), CacheDir: dir})
			require.ErrorContains(t, err, "the executor does not build: cpu: ")
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n")
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

// Opening ends with its context, whatever the compiler does, and leaves nothing.
func TestOpenIsInterrupted(t *testing.T) {
	for name, cxx := range map[string]string{
		"version": compilerThat(t, "sleep 600", ""),
		"build":   compilerThat(t, "echo cxx 1", "cat >/dev/null; sleep 600"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer stop()
			began := time.Now()
			_, err := Open(ctx, Options{CXX: cxx, CacheDir: dir})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Less(t, time.Since(began), 5*time.Second)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}
