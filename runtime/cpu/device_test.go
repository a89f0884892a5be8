package cpu

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/files"
)

var copyOne = sketch{name: "copy_one", threads: 1, body: "y[0] = x[0] + 1u;", slots: words}

// What options leave open is what their comments say; what they give stays.
func TestOptionsFilled(t *testing.T) {
	require.Equal(t, Options{Threads: min(runtime.NumCPU(), 64), MaxSteps: 268435456}, Options{}.filled())
	require.Equal(t, Options{Threads: min(runtime.NumCPU(), 64), MaxSteps: 1}, Options{Threads: -1, MaxSteps: 1}.filled())
	require.Equal(t, Options{Threads: 1, MaxSteps: 7}, Options{Threads: 1, MaxSteps: 7}.filled())
}

// A device says what it is, by which compiler, and what is kept nowhere.
func TestInfo(t *testing.T) {
	d := &Device{opts: Options{Threads: 3}, cc: &compiler{version: "g++ 12", path: "/bin/g++"}}
	want := fruntime.Info{Kind: "cpu", Name: runtime.GOARCH + ", 3 threads", Target: "cpu", MemoryBytes: totalMemory(), Emulation: true, Note: "g++ 12 (/bin/g++)"}
	require.Equal(t, want, d.Info())
	d.opts.Checked, d.objects.why = true, "no folder"
	want.Name, want.Note = runtime.GOARCH+", 3 threads, checked", "g++ 12 (/bin/g++); no folder"
	require.Equal(t, want, d.Info())
	require.Positive(t, totalMemory())
	require.Zero(t, totalMemory()%int64(os.Getpagesize()), "whole pages")
}

// Fifty thousand dispatches leave nothing behind.
func TestManyDispatches(t *testing.T) {
	r := load(t, Options{}, copyOne)
	x, y := r.alloc(4), r.alloc(4)
	rounds := func(n int) int64 {
		for range n {
			enc, err := r.prog.Begin()
			require.NoError(t, err)
			for range 100 {
				require.NoError(t, enc.Dispatch(launch(0, 1, bind(plan.Read, x), bind(plan.Write, y))))
				require.NoError(t, enc.Barrier())
			}
			require.NoError(t, enc.Commit())
			require.NoError(t, enc.Wait())
		}
		var u unix.Rusage
		require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
		return int64(u.Maxrss)
	}
	before := rounds(50)
	after := rounds(450)
	unit := int64(1)
	if runtime.GOOS == "darwin" { // counts bytes, others KiB
		unit = 1024
	}
	require.Less(t, (after-before)/unit, int64(16<<10), "KiB more at the end")
}

func TestRecording(t *testing.T) {
	r := load(t, Options{}, copyOne)
	x := r.put([]uint32{41})
	rec, err := r.prog.(fruntime.Recorder).Record(func(e fruntime.Encoder) error {
		l := launch(0, 1, bind(plan.Read, x), bind(plan.Write, x))
		l.Label = "step"
		return e.Dispatch(l)
	})
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, rec.Run())
	}
	require.NoError(t, rec.Wait())
	require.Equal(t, []uint32{44}, get[uint32](t, x, 1))
	require.NoError(t, x.Free())
	require.NoError(t, rec.Run())
	require.ErrorContains(t, rec.Wait(), "freed between encoding and running")
	require.NoError(t, rec.Close())
}

func TestNoCompiler(t *testing.T) {
	_, err := Open(t.Context(), Options{CXX: "no-such-compiler"})
	require.ErrorIs(t, err, ErrNoCompiler)
	require.ErrorContains(t, err, "looked for no-such-compiler")
	require.ErrorContains(t, err, "install one")
}

// Without a cache that can be written the device works in a temporary folder, says
// so, and leaves nothing behind.
func TestNoUserCache(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	t.Setenv("HOME", file)
	t.Setenv("XDG_CACHE_HOME", "")
	t.Run("a file for a home", func(t *testing.T) {
		r := load(t, Options{}, copyOne)
		x, y := r.put([]uint32{1}), r.alloc(4)
		require.NoError(t, r.run(launch(0, 1, bind(plan.Read, x), bind(plan.Write, y))))
		require.Equal(t, []uint32{2}, get[uint32](t, y, 1))
		require.Contains(t, r.d.Info().Note, "XDG_CACHE_HOME")
	})
	t.Setenv("HOME", "")
	f, err := cacheFolder("")
	require.NoError(t, err)
	require.Contains(t, f.why, "XDG_CACHE_HOME")
	require.NoError(t, f.close())
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left)
	_, err = cacheFolder(filepath.Join(file, "named"))
	require.ErrorContains(t, err, "not a directory")
}

// What the plan declares and what the text takes must agree.
func TestDeclaredSignature(t *testing.T) {
	d := open(t, Options{})
	for want, edit := range map[string]func(*plan.Kernel){
		"the plan declares 5 parameters": func(k *plan.Kernel) { k.Builtins = k.Builtins[:3] },
		"1024 are possible":              func(k *plan.Kernel) { k.Threads = [3]int{64, 32, 1} },
		"232448 are possible":            func(k *plan.Kernel) { k.Threadgroup = []plan.ThreadgroupArg{array("float", "a", 232464)} },
		"multiple of 16":                 func(k *plan.Kernel) { k.Threadgroup = []plan.ThreadgroupArg{array("float", "a", 8)} },
		"a kernel's text is whole":       func(k *plan.Kernel) { k.Source = "#include \"other.metal\"\n" + k.Source },
	} {
		k := copyOne.kernel()
		edit(&k)
		_, err := d.Load(t.Context(), &plan.Plan{Kernels: []plan.Kernel{k}}, nil)
		require.ErrorContains(t, err, "kernel copy_one")
		require.ErrorContains(t, err, want)
	}
}

// A read of a mapped file that was cut is a fault that Go recovers, though the
// executor's signal handlers stand before Go's.
func TestWriteFromACutFile(t *testing.T) {
	d := open(t, Options{})
	m, err := d.Alloc(1<<16, fruntime.Filled)
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Free()) }()
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Truncate(1<<16))
	b, err := unix.Mmap(int(f.Fd()), 0, 1<<16, unix.PROT_READ, unix.MAP_SHARED)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Munmap(b)) }()
	require.NoError(t, f.Truncate(100))
	var fault *files.Fault
	require.ErrorAs(t, files.Guard(func() error { return m.Write(0, b) }), &fault)
}
