package mtl

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/mtl/emulator"
)

// archived loads p on a device of its own and returns how many of its pipelines came
// from the archive and what the program says of its start.
func archived(t *testing.T, e *emulator.Framework, o Options, p *plan.Plan) (hits int64, startup []fruntime.Phase) {
	t.Helper()
	e.Prepare(context.Background(), p)
	before := e.Hits()
	d, err := openOn(e, o)
	require.NoError(t, err)
	g, err := d.Load(context.Background(), p, nil)
	require.NoError(t, err)
	require.NoError(t, g.Close())
	require.NoError(t, d.Close())
	require.Empty(t, e.Noted())
	require.Zero(t, e.Live())
	return e.Hits() - before, g.(*program).Startup()
}

func archives(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	return files
}

func hashed(source string) *plan.Plan {
	p := copyPlan()
	p.Hash = "0123"
	p.Kernels[0].Source += source
	return p
}

// TestArchive: pipelines are read from where the load before left them; a file that
// lacks one, damaged or of other kernels, is replaced.
func TestArchive(t *testing.T) {
	e := emulate(t)
	dir := t.TempDir()
	o := Options{CacheDir: dir}
	load := func(source string, hits int64) {
		t.Helper()
		have, startup := archived(t, e, o, hashed(source))
		require.Equal(t, hits, have)
		require.Equal(t, "compile kernels (Metal)", startup[0].Name)
		require.Equal(t, 1-int(hits), startup[0].Fresh)
		files := archives(t, dir)
		require.Len(t, files, 1)
		require.Regexp(t, `^[0-9a-f]{32}\.metalarchive$`, filepath.Base(files[0]))
		require.Len(t, startup, 1, "%v", startup)
	}
	load("", 0)
	load("", 1)
	require.NoError(t, os.WriteFile(archives(t, dir)[0], []byte("damaged"), 0o644))
	load("", 0)
	load("", 1)
	for what, place := range map[string]func(path string) error{
		"a folder": func(path string) error { return os.MkdirAll(filepath.Join(path, "a"), 0o700) },
		"a pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		path := archives(t, dir)[0]
		require.NoError(t, os.Remove(path))
		require.NoError(t, place(path), what)
		load("", 0)
		load("", 1)
	}
	load("// other text, though the hash is the same\n", 0)
	load("// other text, though the hash is the same\n", 1)
}

// TestArchivesApart: what a pipeline depends on is part of its archive's name.
func TestArchivesApart(t *testing.T) {
	e := emulate(t)
	dir := t.TempDir()
	load := func(files int, o Options) {
		t.Helper()
		o.CacheDir = dir
		hits, _ := archived(t, e, o, hashed(""))
		require.Zero(t, hits)
		require.Len(t, archives(t, dir), files)
	}
	load(1, Options{})
	load(2, Options{Indirect: true})
	defer e.Limit("macos", 15)()
	load(3, Options{})
	defer e.Limit("generation", 4)()
	load(4, Options{})
}

// TestNoArchive: where nothing can be kept the model loads all the same, and the
// start says why.
func TestNoArchive(t *testing.T) {
	e := emulate(t)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	for fault, want := range map[string]string{
		"no-archive":   "compiled kernels are not kept: metal: there is no archive for compiled kernels: the archive cannot be read (code 1)",
		"archive-full": "compiled kernels are not kept: metal: the archive takes no kernel: the archive is full (injected) (code 1)",
		"unwritable":   "compiled kernels are not kept: mkdir " + file,
	} {
		dir := t.TempDir()
		if fault == "unwritable" {
			dir = filepath.Join(file, "cache")
		} else {
			e.Fault(fault)
		}
		hits, startup := archived(t, e, Options{CacheDir: dir}, hashed(""))
		require.Zero(t, hits)
		require.Len(t, startup, 2)
		require.Contains(t, startup[1].Name, want)
		require.Empty(t, archives(t, dir))
	}
}
