package mtl

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ebitengine/purego"
	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
)

// dispatches of one decode step of a 24-layer model, fused.
const stepDispatches = 123

// step is a decode step that a benchmark encodes: each dispatch behind a barrier,
// with two buffers.
type step struct {
	p      *program
	run    func() error // until it is submitted
	wait   func() error // until it is done
	encode func(fruntime.Encoder) error
	last   fruntime.Encoder
}

func newStep(t testing.TB, indirect bool) *step {
	e := emulate(t)
	e.Skip(true)
	e.Prepare(context.Background(), copyPlan())
	d, err := openOn(e, Options{Indirect: indirect})
	require.NoError(t, err)
	p, err := d.Load(context.Background(), copyPlan(), nil)
	require.NoError(t, err)
	x, err := d.Alloc(128, fruntime.Shared)
	require.NoError(t, err)
	y, err := d.Alloc(128, fruntime.Shared)
	require.NoError(t, err)
	var launches [2]fruntime.Launch
	for i, m := range [2][2]fruntime.Memory{{x, y}, {y, x}} {
		launches[i] = fruntime.Launch{Label: "copy", Grid: [3]int64{1, 1, 1}, Bind: []fruntime.Operand{
			{Memory: m[0], Bytes: 128, Access: plan.Read}, {Memory: m[1], Bytes: 128, Access: plan.Write}}}
	}
	s := &step{p: p.(*program)}
	s.encode = func(enc fruntime.Encoder) error {
		for i := range stepDispatches {
			if err := enc.Barrier(); err != nil {
				return err
			}
			if err := enc.Dispatch(&launches[i%2]); err != nil {
				return err
			}
		}
		return nil
	}
	s.wait = func() error { return s.last.Wait() }
	s.run = func() error {
		enc, err := p.Begin()
		if err != nil {
			return err
		}
		if err := s.encode(enc); err != nil {
			return err
		}
		s.last = enc
		return enc.Commit()
	}
	t.Cleanup(func() {
		require.NoError(t, p.Close())
		require.NoError(t, x.Free())
		require.NoError(t, y.Free())
		require.NoError(t, d.Close())
		require.Empty(t, e.Noted())
		e.Skip(false)
	})
	if indirect {
		rec, err := s.p.Record(s.encode)
		require.NoError(t, err)
		s.run, s.wait = rec.Run, rec.Wait
		t.Cleanup(func() { require.NoError(t, rec.Close()) })
	}
	return s
}

// TestEncodingAllocatesNothing: a step, encoded or replayed, makes no garbage.
func TestEncodingAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for name, indirect := range map[string]bool{"direct": false, "indirect": true} {
		t.Run(name, func(t *testing.T) {
			s := newStep(t, indirect)
			require.Zero(t, testing.AllocsPerRun(50, func() {
				if err := errors.Join(s.run(), s.wait()); err != nil {
					t.Fatal(err)
				}
			}))
		})
	}
}

// BenchmarkEncode is the host's cost of one decode step, until it is submitted, with the GPU's work left
// out: encoded, encoded with every message of the dispatch loop answered at once
// (what is left is ours), and replayed from an indirect command buffer.
func BenchmarkEncode(b *testing.B) {
	for _, row := range []string{"direct", "host", "indirect"} {
		b.Run(row, func(b *testing.B) {
			s := newStep(b, row == "indirect")
			if row == "host" {
				e := emulate(b)
				h, err := purego.Dlopen(e.Path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
				require.NoError(b, err)
				nothing, err := purego.Dlsym(h, "emulator_nothing")
				require.NoError(b, err)
				encode, bridge := s.encode, s.p.d.b
				send := bridge.msgSend
				s.encode = func(enc fruntime.Encoder) error {
					bridge.msgSend = nothing
					defer func() { bridge.msgSend = send }()
					return encode(enc)
				}
			}
			b.ReportAllocs()
			var submitted []time.Duration
			for b.Loop() {
				start := time.Now()
				err := s.run()
				b.StopTimer()
				submitted = append(submitted, time.Since(start))
				if err := errors.Join(err, s.wait()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			slices.Sort(submitted)
			b.ReportMetric(float64(submitted[len(submitted)/2].Nanoseconds())/stepDispatches, "median-ns/dispatch")
		})
	}
}

// TestFrameworkForgetsCommands: the emulated framework keeps released objects for a
// while, to see late uses of them, and not what was encoded with them: long runs
// would fill the machine.
func TestFrameworkForgetsCommands(t *testing.T) {
	s := newStep(t, false)
	resident := func() int {
		text, err := os.ReadFile("/proc/self/statm")
		require.NoError(t, err)
		pages, err := strconv.Atoi(strings.Fields(string(text))[1])
		require.NoError(t, err)
		return pages * os.Getpagesize()
	}
	run := func(steps int) {
		for range steps {
			require.NoError(t, errors.Join(s.run(), s.wait()))
		}
	}
	run(100)
	before := resident()
	run(1000)
	require.Less(t, resident()-before, 16<<20, "of 1000 steps of 123 commands")
}
