package devicetest

import (
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	"foundry/runtime"
)

// mirror writes y[i] = 3 * x[n-1-i] + i for n = 1024: each threadgroup reads what
// another one of the dispatch before has written.
var mirror = source{
	name:     "mirror",
	slots:    []plan.Slot{in("x", "uint"), out("y", "uint")},
	builtins: []plan.Builtin{plan.ThreadPosition},
	threads:  [3]int{32, 1, 1},
	body:     `    y[position.x] = 3u * x[1023u - position.x] + position.x;`,
}

const mirrorN = 1024

func mirrored(x []uint32) []uint32 {
	y := make([]uint32, len(x))
	for i := range y {
		y[i] = 3*x[len(x)-1-i] + uint32(i)
	}
	return y
}

func mirrorLaunch(from, to runtime.Memory) *runtime.Launch {
	return &runtime.Launch{
		Label: "mirror", Grid: [3]int64{mirrorN / 32, 1, 1},
		Bind: []runtime.Operand{whole(from, 4*mirrorN, plan.Read), whole(to, 4*mirrorN, plan.Write)},
	}
}

// steps is how often the tests below apply mirror, from x[0] to x[1] and back.
const steps = 100

func mirroredTimes(x []uint32, times int) []uint32 {
	for range times {
		x = mirrored(x)
	}
	return x
}

func (r *rig) pair() [2]runtime.Memory {
	x := make([]uint32, mirrorN)
	for i := range x {
		x[i] = uint32(i * i)
	}
	return [2]runtime.Memory{r.put(x), r.alloc(4 * mirrorN)}
}

func (r *rig) free(ms ...runtime.Memory) {
	for _, m := range ms {
		require.NoError(r, m.Free())
	}
}

// chain: each dispatch needs the whole of the one before.
func chain(r *rig) {
	prog, x := r.load(mirror), r.pair()
	defer r.free(x[:]...)
	start := get[uint32](r, x[0], mirrorN)
	r.run(prog, func(enc runtime.Encoder) {
		for i := range steps {
			require.NoError(r, enc.Dispatch(mirrorLaunch(x[i%2], x[1-i%2])))
			require.NoError(r, enc.Barrier())
		}
	})
	require.Equal(r, mirroredTimes(start, steps), get[uint32](r, x[steps%2], mirrorN))
}

// barrierOrdersThreadgroups: dispatches of one wave are independent, the wave
// behind the barrier sees all of them.
func barrierOrdersThreadgroups(r *rig) {
	sum := source{
		name:     "sum_of_four",
		slots:    []plan.Slot{in("a", "uint"), in("b", "uint"), in("c", "uint"), in("d", "uint"), out("y", "uint")},
		builtins: []plan.Builtin{plan.ThreadPosition},
		threads:  [3]int{64, 1, 1},
		body:     `    uint i = position.x, j = 1023u - i; y[i] = a[j] + b[j] + c[j] + d[j];`,
	}
	prog := r.load(mirror, sum)
	var from, to [4]runtime.Memory
	want := make([]uint32, mirrorN)
	for k := range from {
		x := make([]uint32, mirrorN)
		for i := range x {
			x[i] = uint32(i*7 + k*100003)
		}
		from[k], to[k] = r.put(x), r.alloc(4*mirrorN)
		for i, v := range mirrored(x) {
			want[mirrorN-1-i] += v
		}
	}
	y := r.alloc(4 * mirrorN)
	defer r.free(append(append(from[:], to[:]...), y)...)
	r.run(prog, func(enc runtime.Encoder) {
		l := &runtime.Launch{Kernel: 1, Label: "sum", Grid: [3]int64{mirrorN / 64, 1, 1}}
		for k := range from {
			require.NoError(r, enc.Dispatch(mirrorLaunch(from[k], to[k])))
			l.Bind = append(l.Bind, whole(to[k], 4*mirrorN, plan.Read))
		}
		require.NoError(r, enc.Barrier())
		l.Bind = append(l.Bind, whole(y, 4*mirrorN, plan.Write))
		require.NoError(r, enc.Dispatch(l))
	})
	require.Equal(r, want, get[uint32](r, y, mirrorN))
}

// commandBuffers: they run in commit order, and a barrier that stands first in
// one orders it against all that were committed before.
func commandBuffers(r *rig) {
	prog, x := r.load(mirror), r.pair()
	defer r.free(x[:]...)
	start := get[uint32](r, x[0], mirrorN)
	var committed []runtime.Encoder
	for i := range steps {
		enc, err := prog.Begin()
		require.NoError(r, err)
		require.NoError(r, enc.Barrier())
		require.NoError(r, enc.Dispatch(mirrorLaunch(x[i%2], x[1-i%2])))
		require.NoError(r, enc.Commit())
		committed = append(committed, enc)
	}
	for _, enc := range committed {
		require.NoError(r, enc.Wait())
	}
	require.Equal(r, mirroredTimes(start, steps), get[uint32](r, x[steps%2], mirrorN))
}

// goroutines: one program serves several at a time, each with its own encoder.
func goroutines(r *rig) {
	prog := r.load(mirror)
	var pairs [4][2]runtime.Memory
	for k := range pairs {
		pairs[k] = r.pair()
		defer r.free(pairs[k][:]...)
	}
	start := get[uint32](r, pairs[0][0], mirrorN)
	const times = 20
	errs := make([]error, len(pairs))
	var wg sync.WaitGroup
	for k, x := range pairs {
		wg.Go(func() { errs[k] = applyMirror(prog, x, times) })
	}
	wg.Wait()
	want := mirroredTimes(start, times)
	for k, x := range pairs {
		require.NoError(r, errs[k])
		require.Equal(r, want, get[uint32](r, x[times%2], mirrorN), "goroutine %d", k)
	}
}

func applyMirror(prog runtime.Program, x [2]runtime.Memory, times int) error {
	for i := range times {
		enc, err := prog.Begin()
		if err != nil {
			return err
		}
		if err := enc.Dispatch(mirrorLaunch(x[i%2], x[1-i%2])); err != nil {
			return err
		}
		if err := enc.Commit(); err != nil {
			return err
		}
		if err := enc.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// recording: encoded once, in two command buffers, and run many times, the runs
// one after the other.
func recording(r *rig) {
	prog, x := r.load(mirror), r.pair()
	defer r.free(x[:]...)
	recorder, ok := prog.(runtime.Recorder)
	if !ok {
		r.Skip("the program does not record")
	}
	start := get[uint32](r, x[0], mirrorN)
	rec, err := recorder.Record(func(enc runtime.Encoder) error {
		for i := range 2 {
			if err := enc.Barrier(); err != nil {
				return err
			}
			if err := enc.Dispatch(mirrorLaunch(x[i], x[1-i])); err != nil {
				return err
			}
			if i == 0 {
				if err := enc.Commit(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	require.NoError(r, err)
	require.Equal(r, start, get[uint32](r, x[0], mirrorN), "recording runs nothing")
	require.Equal(r, make([]uint32, mirrorN), get[uint32](r, x[1], mirrorN), "recording runs nothing")
	for range steps / 2 {
		require.NoError(r, rec.Run())
	}
	require.NoError(r, rec.Wait())
	require.Equal(r, mirroredTimes(start, steps), get[uint32](r, x[0], mirrorN))
	require.NoError(r, rec.Run())
	require.NoError(r, rec.Wait())
	require.Equal(r, mirroredTimes(start, steps+2), get[uint32](r, x[0], mirrorN))
	if watch, ok := rec.(runtime.Stopwatch); ok {
		began := time.Now()
		took, err := watch.Timed()
		require.NoError(r, err)
		require.Positive(r, took)
		require.LessOrEqual(r, took, time.Since(began), "the device was at it no longer than the host waited")
		require.Equal(r, mirroredTimes(start, steps+4), get[uint32](r, x[0], mirrorN))
	}
	require.NoError(r, rec.Close())
}
