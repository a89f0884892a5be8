package runtime

import (
	"context"
	"errors"
	"hash/crc32"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"foundry/ir/sym"
	"foundry/lower/plan"
)

// inTurn are the times that submissions take: the first warms up, and neither it nor the
// last is the least of those that count.
var inTurn = []time.Duration{time.Millisecond, 9 * time.Millisecond, 5 * time.Millisecond, 7 * time.Millisecond, 4 * time.Millisecond, 6 * time.Millisecond}

// Bandwidth is the bytes of the whole allocation, as often as a submission reads them, over
// the time of the best: what is read is odd bytes that differ, and nothing stays allocated.
func TestReadBandwidth(t *testing.T) {
	for _, records := range []bool{false, true} {
		for bytes, groups := range map[int64]int64{1: 1, 65536: 1, 131071: 1, 131072: 2} {
			synctest.Test(t, func(t *testing.T) {
				dispatches := 0
				dev := newFake(map[string]func([3]int64, [][]byte) error{"read_bandwidth": func(grid [3]int64, b [][]byte) error {
					if dispatches == 0 {
						require.Equal(t, [3]int64{groups, 1, 1}, grid)
						require.Len(t, b[0], int(groups)<<16)
						require.Len(t, b[1], 16)
						requireScattered(t, b[0])
					}
					time.Sleep(inTurn[dispatches/8])
					dispatches++
					return nil
				}})
				dev.records = records
				rate, err := ReadBandwidth(background, dev, bytes)
				require.NoError(t, err)
				require.Equal(t, 8*6, dispatches)
				require.Equal(t, float64(groups<<16*8)/(8*4*time.Millisecond).Seconds(), rate)
				require.Zero(t, dev.live)
				events := dev.events()
				require.Equal(t, []string{"load"}, events[:1])
				perRun := slices.Repeat([]string{"dispatch read", "barrier"}, 8)
				if records { // encoded once, run and waited for each time
					require.Equal(t, slices.Concat(perRun, slices.Repeat([]string{"run", "wait"}, 6)), events[1:])
				} else {
					require.Equal(t, slices.Repeat(slices.Concat([]string{"begin"}, perRun, []string{"commit", "wait"}), 6), events[1:])
				}
			})
		}
	}
}

// requireScattered wants odd bytes that are not all the same within a cache line.
func requireScattered(t *testing.T, b []byte) {
	for i := range b {
		if b[i]&1 == 0 {
			t.Fatalf("byte %d is even", i)
		}
	}
	for line := range slices.Chunk(b, 64) {
		require.Greater(t, len(slices.Compact(slices.Clone(line))), 8)
	}
}

// Memory of more than a slab is filled to its end.
func TestScatter(t *testing.T) {
	m := &fakeMemory{f: newFake(nil), b: make([]byte, 16<<20+192)}
	require.NoError(t, scatter(m))
	requireScattered(t, m.b[16<<20-192:])
	require.Equal(t, 2, m.f.calls["write"])
	require.Equal(t, uint32(0x75106d1b), crc32.ChecksumIEEE(m.b[:4096]), "the same bytes at every measurement")
	m.f.failAt["write"] = 4
	require.ErrorIs(t, scatter(m), errInjected)
}

// Whatever fails, the error is told and all is given back.
func TestReadBandwidthGivesBack(t *testing.T) {
	for _, records := range []bool{false, true} {
		for _, op := range []string{"load", "alloc", "write", "free", "begin", "dispatch", "barrier", "commit", "run", "wait"} {
			for n := 1; ; n++ {
				dev := newFake(map[string]func([3]int64, [][]byte) error{"read_bandwidth": func([3]int64, [][]byte) error { return nil }})
				dev.records, dev.failAt[op] = records, n
				_, err := ReadBandwidth(background, dev, 1)
				require.Zero(t, dev.live, "%s %d", op, n)
				if dev.calls[op] < n {
					require.NoError(t, err)
					break
				}
				require.ErrorIs(t, err, errInjected, "%s %d", op, n)
			}
		}
	}
	ended, end := context.WithCancel(background)
	end()
	_, err := ReadBandwidth(ended, newFake(map[string]func([3]int64, [][]byte) error{"read_bandwidth": nil}), 1)
	require.Error(t, err)
}

// timed is a program whose recordings tell their own times, or that times dispatches.
type timed struct {
	Program
	tell func() []time.Duration
	fail error
}

func (p *timed) Time(encode func(Encoder) error) ([]time.Duration, error) {
	enc, err := p.Begin()
	if err == nil {
		err = errors.Join(encode(enc), enc.Commit(), enc.Wait(), p.fail)
	}
	return p.tell(), err
}

type watchProgram struct {
	*fakeRecorder
	tell func() (time.Duration, error)
}

func (p watchProgram) Record(encode func(Encoder) error) (Recording, error) {
	r, err := p.fakeRecorder.Record(encode)
	return watchRecording{r, p.tell}, err
}

type watchRecording struct {
	Recording
	tell func() (time.Duration, error)
}

func (r watchRecording) Timed() (time.Duration, error) { return r.tell() }

// What a device's own clock says stands before the host's; before runs ahead of each
// submission, and an error of it, of the clock or of the context ends the measurement.
func TestFastestTakesTheDevicesClock(t *testing.T) {
	dev := newFake(nil)
	base := &fakeProgram{f: dev, p: &plan.Plan{}}
	calls, befores := 0, 0
	failing := error(nil)
	watch := watchProgram{&fakeRecorder{base}, func() (time.Duration, error) { calls++; return inTurn[calls-1], failing }}
	before := func() error { befores++; return nil }
	nothing := func(Encoder) error { return nil }
	best, err := fastest(background, watch, 5, before, nothing)
	require.NoError(t, err)
	require.Equal(t, 4*time.Millisecond, best)
	require.Equal(t, []int{6, 6}, []int{calls, befores})
	require.Zero(t, dev.live, "the recording is closed")
	failing, calls = errInjected, 0
	_, err = fastest(background, watch, 5, nil, nothing)
	require.ErrorIs(t, err, errInjected)
	require.Equal(t, 1, calls)
	_, err = fastest(background, base, 5, func() error { return errInjected }, nothing)
	require.ErrorIs(t, err, errInjected)
	ended, end := context.WithCancel(background)
	end()
	_, err = fastest(ended, base, 5, nil, nothing)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, dev.events())

	calls, befores = 0, 0
	timer := &timed{Program: base, tell: func() []time.Duration {
		calls++
		return []time.Duration{inTurn[calls-1] - time.Microsecond, time.Microsecond}
	}}
	best, err = leastTime(background, timer, 5, before, nothing)
	require.NoError(t, err)
	require.Equal(t, 4*time.Millisecond, best, "the sum of the dispatches'")
	require.Equal(t, []int{6, 6}, []int{calls, befores})
	_, err = leastTime(ended, timer, 5, before, nothing)
	require.ErrorIs(t, err, context.Canceled)
	timer.fail, calls = errInjected, 0
	_, err = leastTime(background, timer, 5, before, nothing)
	require.ErrorIs(t, err, errInjected)
}

// measured is a toy in the middle of a sequence whose kernels take one, two and three
// milliseconds; see is told of each dispatch of a kernel.
func measured(t *testing.T, edit func(*plan.Plan), see func(kernel string, bind [][]byte)) *Instance {
	x, _ := loadToy(t, func(p *plan.Plan, f *fake) {
		for i := range p.Entries {
			for s := range p.Entries[i].Steps {
				if d := p.Entries[i].Steps[s].Dispatch; d != nil {
					d.Moved, d.Flops = sym.Poly{C: int64(100 * (d.Kernel + 1)), P: 1}, sym.Poly{C: int64(10 * (d.Kernel + 1)), T: 1}
				}
			}
		}
		if edit != nil {
			edit(p)
		}
		for i, name := range []string{"remember", "score", "choose"} {
			f.kernels[name] = func(_ [3]int64, b [][]byte) error {
				see(name, b)
				time.Sleep(time.Duration(i+1) * time.Millisecond)
				return nil
			}
		}
	})
	return newInstance(t, x)
}

// Each kernel's dispatches are timed apart from the others', rounds times over, from the
// same step each time; times, bytes and operations are those of one dispatch.
func TestKernelTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ran := map[string]int{}
		var at []uint32
		in := measured(t, func(p *plan.Plan) { // two dispatches of one kernel, of which the second moves more
			e := &p.Entries[0]
			again := *e.Steps[2].Dispatch
			again.Label, again.Wave, again.Moved, again.Flops = "again", 2, sym.Poly{C: 403}, sym.Poly{C: 31}
			last := *e.Steps[4].Dispatch
			last.Wave = 3
			e.Steps = []plan.Step{e.Steps[0], {Barrier: true}, e.Steps[2], {Barrier: true}, {Dispatch: &again}, {Barrier: true}, {Dispatch: &last}}
			e.CommandBuffers = []plan.CommandBuffer{{First: 0, Last: 7}}
		}, func(kernel string, b [][]byte) {
			if ran[kernel]++; kernel == "score" {
				at = append(at, word(b[0], plan.StepP))
			}
		})
		in.AssumeWritten()
		got, err := in.KernelTimes(background, "prefill", sym.Env{T: 2, P: 5}, 7)
		require.NoError(t, err)
		require.Equal(t, []KernelTime{
			{Kernel: "remember", Dispatches: 1, Each: time.Millisecond, Bytes: 105, Flops: 12},
			{Kernel: "score", Dispatches: 2, Each: 2 * time.Millisecond, Bytes: (205 + 403) / 2, Flops: (22 + 31) / 2},
			{Kernel: "choose", Dispatches: 1, Each: 3 * time.Millisecond, Bytes: 305, Flops: 32},
		}, got)
		require.Equal(t, map[string]int{"remember": 1 + 4*7, "score": 2 + 4*14, "choose": 1 + 4*7}, ran, "one run, a warm-up and three repetitions")
		require.Equal(t, slices.Repeat([]uint32{5}, len(at)), at)
		_, err = in.KernelTimes(background, "prefil", sym.Env{T: 1}, 1)
		require.ErrorContains(t, err, "prefil")
		got, err = in.KernelTimes(background, "decode", sym.Env{T: 1, P: 5}, 1)
		require.NoError(t, err)
		require.Equal(t, int64(205), got[1].Bytes, "of that entry")

		calls := 0
		in.exec.program = &timed{Program: in.exec.program, tell: func() []time.Duration {
			calls++
			return []time.Duration{time.Duration(calls) * time.Second, 2 * time.Second}
		}}
		got, err = in.KernelTimes(background, "decode", sym.Env{T: 1, P: 5}, 2)
		require.NoError(t, err)
		require.Equal(t, 2*time.Second, got[0].Each, "by the device's clock: 2 s and 2 s of the second submission, for two rounds")
		require.Equal(t, 12, calls)
	})
}

// A dispatch alone is bound to other copies of its weights and caches each time, until so
// many bytes have been gone through; what it writes besides stays where it is. One that
// advances the step runs a few times only.
func TestTimeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bound [][][]byte
		in := measured(t, func(p *plan.Plan) {
			for i := range p.Entries { // a part of the weights
				w := &p.Entries[i].Steps[2].Dispatch.Bind[2]
				w.Offset, w.Bytes = 16, 31*4-16
			}
		}, func(kernel string, b [][]byte) { bound = append(bound, b) })
		in.AssumeWritten()
		alone := func(label string, rotate int64, times int) AloneTime {
			bound = nil
			out, err := in.TimeAlone(background, "decode", sym.Env{T: 1, P: 5}, label, rotate, times)
			require.NoError(t, err)
			bound = bound[3:] // the run before, of all three
			return out
		}
		const set = 4*toyContext + 4*31 // the cache and the weights
		places := func() int {
			seen := map[*byte]bool{}
			for _, b := range bound {
				seen[&b[2][0]] = true
			}
			return len(seen)
		}
		for _, c := range []struct {
			rotate            int64
			times, sets, runs int
		}{{1, 1, 2, 2}, {set, 1, 2, 2}, {set + 1, 3, 3, 3}, {5 * set, 10, 6, 12}, {5 * set, 12, 6, 12}, {5 * set, 13, 6, 18}, {1000 * set, 1, aloneSets, aloneSets}} {
			require.Equal(t, AloneTime{Each: 2 * time.Millisecond, Bytes: 205, Flops: 21, Rotated: int64(c.sets) * set}, alone("score", c.rotate, c.times))
			require.Len(t, bound, 6*c.runs, "%v", c)
			require.Equal(t, c.sets, places(), "%v", c)
			for i, b := range bound[:c.runs] {
				require.Same(t, &bound[0][0][0], &b[0][0], "the step")
				require.Same(t, &bound[0][3][0], &b[3][0], "what it writes")
				if i > 0 {
					require.NotSame(t, &bound[i-1][2][0], &b[2][0], "weights of the dispatch before")
					require.NotSame(t, &bound[i-1][1][0], &b[1][0], "the cache of the dispatch before")
				}
			}
			for i := range c.runs % c.sets {
				require.Same(t, &bound[i][2][0], &bound[i+c.sets][2][0], "in turn")
			}
			copied := bound[1][2] // of the weights from byte 16 on
			require.Len(t, copied, 31*4-16)
			for i := range copied {
				require.Equal(t, byte((i+16)*7919>>3)&0x3b, copied[i])
			}
		}
		require.Equal(t, AloneTime{Each: 3 * time.Millisecond, Bytes: 305, Flops: 31}, alone("choose", 1000, 20))
		require.Len(t, bound, 6*aloneAdvance)
		alone("choose", 1000, 3)
		require.Len(t, bound, 6*3)
		live := in.exec.device.(*fake).live
		alone("remember", 1000, 1)
		require.Equal(t, live, in.exec.device.(*fake).live, "the copies are freed")
		_, err := in.TimeAlone(background, "decode", sym.Env{T: 1, P: 5}, "scor", 1, 1)
		require.EqualError(t, err, `entry decode has no dispatch "scor"`)
		_, err = in.TimeAlone(background, "decod", sym.Env{T: 1}, "score", 1, 1)
		require.Error(t, err)
		dev := in.exec.device.(*fake)
		for _, op := range []string{"alloc", "write", "dispatch", "barrier", "free"} {
			for n := 1; ; n++ {
				dev.calls[op], dev.failAt[op] = 0, n
				_, err := in.TimeAlone(background, "decode", sym.Env{T: 1, P: 5}, "score", 2*set, 3)
				dev.failAt[op] = 0
				if dev.calls[op] < n {
					require.NoError(t, err)
					break
				}
				require.ErrorIs(t, err, errInjected, "%s %d", op, n)
				require.Equal(t, live, dev.live, "%s %d", op, n)
			}
		}
	})
}
