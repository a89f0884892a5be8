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
	o := object{name: "answer", symbol: "answer",
		units: []unit{{text: `extern "C" __attribute__((visibility("default"))) int answer() { return 42; }`}}}
	answer := func(built bool) {
		t.Helper()
		lib, err := kept.open(t.Context(), cc, o, purego.RTLD_NOW|purego.RTLD_LOCAL, nil)
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
		forged := filepath.Join(dir, nameOfObject("answer", other))
		require.NoError(t, os.WriteFile(forged, other, 0o600))
		replace(t, entry, []byte(filepath.Base(forged)))
		answer(true)
		answer(false)
		require.NoError(t, os.Remove(forged))
	})
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
	for i := range objectsKept + 5 {
		for _, kind := range []string{"so", "entry"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.%s", i, kind)), nil, 0o600))
		}
	}
	require.NoError(t, objectCache{dir: dir}.prune())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 2*objectsKept)
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
