package mtl

import (
	"context"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/mtl/emulator"
)

// TestEveryEntryHasItsPool calls each entry on a thread that has no pool: none
// sends a message, or lets go of an object, outside one, and none but Begin leaves
// one open.
func TestEveryEntryHasItsPool(t *testing.T) {
	for name, indirect := range map[string]bool{"encoded": false, "indirect": true} {
		t.Run(name, func(t *testing.T) {
			e := emulate(t)
			if indirect { // and times by command buffers
				defer e.Limit("counter-sampling", 0)()
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			testPools(t, e, indirect, func(entry string, err error, open int64) {
				t.Helper()
				require.NoError(t, err, entry)
				require.Equal(t, open, e.Pools(), "pools open after %s", entry)
				require.Empty(t, e.Noted(), entry)
			})
			require.Zero(t, e.Live())
		})
	}
}

func testPools(t *testing.T, e *emulator.Framework, indirect bool, after func(entry string, err error, open int64)) {
	e.Prepare(context.Background(), copyPlan())
	d, err := openOn(e, Options{Indirect: indirect, CacheDir: t.TempDir()})
	after("Open", err, 0)
	x, err := d.Alloc(128, fruntime.Shared)
	after("Alloc", err, 0)
	y, err := d.Alloc(128, fruntime.Private)
	after("Alloc of private memory", err, 0)
	after("Write", y.Write(0, make([]byte, 128)), 0)
	after("Read", y.Read(0, make([]byte, 128)), 0)
	pages, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(t, err)
	defer unix.Munmap(pages)
	lent, err := d.Adopt(pages, 0, 128)
	after("Adopt", err, 0)
	after("Free of lent memory", lent.Free(), 0)
	_, err = d.clock()
	after("clock", err, 0)

	p := copyPlan()
	p.Hash = "0123"
	loaded, err := d.Load(context.Background(), p, nil)
	after("Load", err, 0)
	g := loaded.(*program)
	launch := &fruntime.Launch{Label: "copy", Grid: [3]int64{1, 1, 1}, Bind: []fruntime.Operand{
		{Memory: x, Bytes: 128, Access: plan.Read}, {Memory: y, Bytes: 128, Access: plan.Write}}}
	for _, capturing := range []int64{0, 1} {
		undo := e.Limit("capturing", capturing)
		enc, err := g.Begin()
		after("Begin", err, 1)
		after("Barrier", enc.Barrier(), 1)
		err = enc.Dispatch(launch)
		if capturing == 1 {
			require.Equal(t, []string{"capture shows copy"}, e.Noted())
		}
		after("Dispatch", err, 1)
		after("Commit", enc.Commit(), 0)
		after("Wait", enc.Wait(), 0)
		undo()
	}

	r, err := g.Record(func(enc fruntime.Encoder) error { return enc.Dispatch(launch) })
	after("Record", err, 0)
	after("Run", r.Run(), 0)
	after("Wait of a recording", r.Wait(), 0)
	after("Close of a recording", r.Close(), 0)
	_, err = g.Time(func(enc fruntime.Encoder) error { return enc.Dispatch(launch) })
	after("Time", err, 0)
	undo := e.Limit("capture", 1)
	after("Capture", d.Capture(filepath.Join(t.TempDir(), "x.gputrace"), func() error { return nil }), 0)
	undo()

	after("Free", x.Free(), 0)
	after("Free of private memory", y.Free(), 0)
	after("Close of a program", g.Close(), 0)
	after("Close", d.Close(), 0)
}

// An encoder that is done with serves again, for one at a time.
func TestEncodersServeOneAtATime(t *testing.T) {
	g := &program{d: &Device{}, open: map[*encoder]bool{}}
	done := g.take()
	g.put(done)
	again, other := g.take(), g.take()
	require.Same(t, done, again)
	require.NotSame(t, again, other)
	require.Len(t, g.open, 2)
}
