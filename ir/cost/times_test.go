package cost

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/kernel"
	"foundry/ir/target"
)

// plain is a machine whose numbers make each term of a time another: 4 cores of 512 threads.
func plain() *target.Target {
	return &target.Target{
		Cores: 4, CoreThreads: 512, BandwidthGBs: 100, CacheGBs: 200, CacheBytes: 1 << 20, TFlops: 2, TileTFlops: 4, MatrixTFlops: 8,
		DispatchUs: 13, WaveUs: 11, GroupUs: 0.5, PieceNs: 3, StepUs: 0.25, TileStepUs: 0.125, ExpandStepUs: 0.375, ExpandThreads: 1024, LatencyUs: 7, ExchangeNs: 5,
		CommandBufferUs: 20, EncodeUs: 1, SubmitUs: 10, LoadAhead: 32, CopyStages: 4, TileFloats: 32, MatrixFloats: 64, MatrixRows: 32, MatrixGroup: 4, CoreBytes: 64 << 10, CoreFloats: 32 << 10,
		Limits: target.Limits{Slots: 31, Threads: 1024, ThreadgroupBytes: 32 << 10, MatrixBytes: 32 << 10, SIMDWidth: 32,
			Weights: []string{"f32", "f16", "bf16", "q8_0", "q4_k", "q3_k"}, Cache: []string{"f32", "f16"}},
	}
}

// The time of a kernel is the longest of what goes on side by side, each term worked out
// here on its own, and behind it the prologue and exchanges. Four threadgroups of 256
// threads fill plain: half of what its cores have in flight.
func TestTermsOfAKernelsTime(t *testing.T) {
	full := func(k Kernel) Kernel {
		k.Groups, k.Threads = 4, 256
		return k
	}
	for name, c := range map[string]struct {
		k    Kernel
		want float64
	}{
		"memory, 1 MB of 100 GB/s":                         {full(Kernel{Memory: 1e6}), 10},
		"cache, 1 MB of 200 GB/s":                          {full(Kernel{Cache: 1e6}), 5},
		"10,000 parts of lines, 3 ns, four cores":          {full(Kernel{LineParts: 1e4}), 7.5},
		"100 MFLOP of 2 TFLOP/s":                           {full(Kernel{Flops: 1e8}), 50},
		"100 MFLOP of tiles, 4 TFLOP/s":                    {full(Kernel{Tile: 1e8}), 25},
		"100 MFLOP of matrix units, 8 TFLOP/s":             {full(Kernel{Matrix: 1e8}), 12.5},
		"40 threadgroups, eight at a time, 0.5 us":         {Kernel{Groups: 40, Threads: 256}, 2.5},
		"8 of 300 threads, of which a core has room for 1": {Kernel{Groups: 8, Threads: 300}, 1},
		"few threadgroups are one round":                   {Kernel{Groups: 1, Threads: 32}, 0.5},
		"a threadgroup larger than a core":                 {Kernel{Groups: 12, Threads: 1024}, 1.5},
		"waits":                                            {full(Kernel{WaitUs: 9}), 9},
		"the longest of all":                               {full(Kernel{Memory: 1e6, Cache: 3e6, Flops: 1e7, WaitUs: 2}), 15},
		"half of the machine has half the bandwidth":       {Kernel{Memory: 1e6, Groups: 2, Threads: 256}, 20},
		"half, by its threads":                             {Kernel{Memory: 1e6, Groups: 4, Threads: 128}, 20},
		"more threads do not help":                         {Kernel{Memory: 1e6, Groups: 4, Threads: 512}, 10},
		"two loads on their way do for twice the threads":  {Kernel{Memory: 1e6, Groups: 4, Threads: 64, Loads: 2}, 20},
		"tiles: 256 threads a core, others beyond help":    {Kernel{Tile: 1e8, Groups: 2, Threads: 512, Tiled: true}, 25},
		"tiles of 128 threads fill half":                   {Kernel{Tile: 1e8, Groups: 4, Threads: 128, Tiled: true}, 50},
		"matrix units of half a machine":                   {Kernel{Matrix: 1e8, Groups: 2, Threads: 256}, 25},
		"parts of lines on half a machine":                 {Kernel{LineParts: 1e4, Groups: 2, Threads: 256}, 15},
		"cache on half a machine":                          {Kernel{Cache: 1e6, Groups: 2, Threads: 256}, 10},
		"lanes on half a machine":                          {Kernel{Flops: 1e8, Groups: 2, Threads: 256}, 100},
		"bytes before main, and a round's 0.5 us":          {full(Kernel{PrologueCache: 1e6}), 5.5},
		"operations before main":                           {full(Kernel{PrologueFlops: 1e8}), 50.5},
		"both on half a machine":                           {Kernel{PrologueCache: 1e6, PrologueFlops: 1e8, Groups: 2, Threads: 256}, 10 + 100 + 0.5},
		"three reductions of 7 us, two rounds":             {Kernel{PrologueSteps: 3, Groups: 16, Threads: 256}, 42 + 1},
		"a prologue adds to main":                          {full(Kernel{Memory: 1e6, PrologueCache: 1e6, PrologueSteps: 1}), 10 + 5 + 7},
		"3 exchanges of 256 threads, 5 ns, two a core":     {Kernel{Exchanges: 3, Groups: 6, Threads: 256}, 2*256*3*5e-3 + 0.5},
	} {
		require.InDelta(t, c.want, c.k.Us(plain()), 1e-9, name)
	}
	gpu := plain()
	gpu.ExchangeNs, gpu.MatrixTFlops = 0, 0
	require.InDelta(t, 0.5, full(Kernel{Exchanges: 1000}).Us(gpu), 1e-9, "GPUs pay for exchanges elsewhere")
}

// What fills a quarter of the cache comes from it, what fills more and what is stored from memory.
func TestWhereBytesComeFrom(t *testing.T) {
	const quarter = 1 << 18
	for _, c := range []struct {
		bytes  float64
		stored bool
		memory bool
	}{{quarter, false, false}, {quarter + 1, false, true}, {1, true, true}, {quarter + 1, true, true}} {
		k := Kernel{Memory: 10, Cache: 20}
		want := k
		if c.memory {
			want.Memory += c.bytes
		} else {
			want.Cache += c.bytes
		}
		k.touch(c.bytes, c.stored, plain())
		require.Equal(t, want, k, "%+v", c)
	}
}

// Kernels between two barriers share the machine: two of 1 MB that fill half of it each
// take 10 us each of all of it, 20 together, as long as one of them by itself.
func TestTimeOfAWave(t *testing.T) {
	x := plain()
	half := Kernel{Memory: 1e6, Groups: 2, Threads: 256}
	require.InDelta(t, 20+11+13, Wave([]Kernel{half}, x), 1e-9)
	require.InDelta(t, 20+11+2*13, Wave([]Kernel{half, half}, x), 1e-9)
	require.InDelta(t, 30+11+3*13, Wave([]Kernel{half, half, half}, x), 1e-9, "more than the machine is the machine")
	quarter := Kernel{Memory: 1e6, Groups: 1, Threads: 256}
	require.InDelta(t, 40+11+2*13, Wave([]Kernel{half, quarter}, x), 1e-9, "the quarter takes 40 us alone, 26.7 together")
	require.Zero(t, Wave(nil, x))

	l := LoadOf([][]Kernel{{half}, {half, half}}, x)
	require.InDelta(t, 44+57, l.DeviceUs, 1e-9)
	require.Equal(t, 3, l.Dispatches)
}

// Of n command buffers the first is encoded before the device starts, 1 us a dispatch, and
// each border takes 20 us; committing takes 10.
func TestTimeOfCommandBuffers(t *testing.T) {
	x := plain()
	for _, c := range []struct {
		device     float64
		dispatches int
		asked      int
		us         float64
		buffers    int
	}{
		{1000, 100, 1, 10 + 100 + 1000, 1},
		{1000, 100, 2, 10 + 50 + 1000 + 20, 2},
		{1000, 100, 4, 10 + 25 + 1000 + 60, 4},
		{1000, 100, 0, 10 + 50 + 1000 + 20, 2}, // three: 10 + 33.3 + 1000 + 40
		{10, 100, 0, 10 + 100 + 10, 1},         // two: the host, 10 + 50 + 50 + 20
		{10, 100, 2, 10 + 50 + 50 + 20, 2},     // the rest is encoded for 50 us while the device has work for 10
		{0, 0, 0, 10, 1},
	} {
		us, n := Load{DeviceUs: c.device, Dispatches: c.dispatches}.Us(x, c.asked)
		require.InDelta(t, c.us, us, 1e-9, "%+v", c)
		require.Equal(t, c.buffers, n, "%+v", c)
	}
	x.CommandBufferUs = 0
	_, n := Load{DeviceUs: 1e6, Dispatches: 5}.Us(x, 0)
	require.Equal(t, 5, n, "a buffer for each dispatch")
	_, n = Load{DeviceUs: 1e6, Dispatches: 1000}.Us(x, 0)
	require.Equal(t, 64, n, "what a queue holds")
}

// Rows of a softmax are read twice: the first time from where they are, the second from the
// cache; of segments every threadgroup merges its row's.
func TestSoftmaxInNumbers(t *testing.T) {
	x := plain()
	r := softmaxRows{rows: 3, length: 1000, most: 2000, bytes: 12_000, stored: true}
	require.Equal(t, []Kernel{{Name: "softmax", Groups: 3, Threads: 64, Shared: 16, Flops: (5 + 3) * 3000, Memory: 12_000, Cache: 12_000 + 12_000, PrologueSteps: 1}},
		r.kernels(kernel.SoftmaxRow{Simdgroups: 2}, x))
	r.stored = false
	require.Equal(t, []Kernel{ // four of eight segments of 256 hold 1,000 elements; a maximum and a sum each
		{Name: "softmax", Groups: 12, Idle: 12, Threads: 64, Shared: 16, Flops: 15_000, Cache: 12_000 + 8*3*4, PrologueSteps: 1},
		{Name: "softmax_merge", Groups: 12, Idle: 12, Threads: 64, Shared: 16, Flops: 9000, Cache: 12_000 + 12_000, PrologueCache: 8 * 3 * 4 * 4, PrologueSteps: 1},
	}, r.kernels(kernel.SoftmaxSegments{Segment: 256, Segments: 8, Simdgroups: 2}, x))
	r.rows, r.bytes = 100, 400_000 // more than a quarter of the cache
	require.Equal(t, []Kernel{{Name: "softmax", Groups: 100, Threads: 32, Shared: 16, Flops: 800_000, Memory: 3 * 400_000, PrologueSteps: 1}},
		r.kernels(kernel.SoftmaxRow{Simdgroups: 1}, x))
	// Threadgroups that end at once are taken up, too: 32 at a time by four cores.
	require.InDelta(t, x.GroupUs, Kernel{Groups: 12, Threads: 64}.Us(x), 1e-9)
	require.InDelta(t, x.GroupUs, Kernel{Groups: 12, Idle: 20, Threads: 64}.Us(x), 1e-9)
	require.InDelta(t, 2*x.GroupUs, Kernel{Groups: 12, Idle: 52, Threads: 64}.Us(x), 1e-9)
}

// A row may begin in the middle of a chunk of four, so that the last segment may be reached
// by one element more; threads that would have no chunk are not taken.
func TestSegmentsOfASoftmax(t *testing.T) {
	x := plain()
	for _, c := range []struct{ most, segment, segments int64 }{{1024, 256, 5}, {1021, 256, 4}, {1022, 256, 5}, {128, 128, 2}} {
		k, us := softmaxRows{rows: 1, length: c.most, most: c.most, bytes: 4 * float64(c.most)}.deal(c.segment, x)
		require.Equal(t, c.segments, k.(kernel.SoftmaxSegments).Segments, "%+v", c)
		require.LessOrEqual(t, int64(k.Threads()-32)*softmaxChunk, min(c.segment, c.most), "%+v: idle simdgroups", c)
		sum := 0.0
		for _, one := range (softmaxRows{rows: 1, length: c.most, most: c.most, bytes: 4 * float64(c.most)}).kernels(k, x) {
			sum += Wave([]Kernel{one}, x)
		}
		require.InDelta(t, sum, us, 1e-9)
	}
}
