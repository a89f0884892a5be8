// Package cost turns a node and a target into numbers: bytes from memory and
// from the cache, operations, threadgroups, and the time that a kernel, a wave
// and a whole graph should take. Passes ask it about regions, lowering about
// dispatches, bench about plans; it is the only place that predicts.
//
// There is no shape threshold here: every choice that rests on the model follows
// from sizes and from the target's data.
//
// Read next: work.go for bytes and operations, kernel.go for how a region
// becomes a kernel's numbers, waves.go for what runs side by side.
package cost

import (
	"math"

	"foundry/ir/sym"
	"foundry/ir/target"
)

// Kernel is one dispatch in numbers, for one run.
type Kernel struct {
	Name      string
	Memory    float64 // bytes from and to memory
	Cache     float64 // bytes that the cache answers while main runs
	LineParts float64 // parts of lines that main copies to threadgroup memory
	Flops     float64 // operations of the lanes
	Tile      float64 // operations of tiles
	Matrix    float64 // operations of matrix units
	Groups    float64 // threadgroups with work
	Idle      float64 // threadgroups that have none in this run, and end at once
	Threads   float64 // threads a threadgroup
	Shared    int     // bytes of threadgroup memory a threadgroup
	Loads     float64 // loads on their way for a thread, in multiples of what half of a core's threads hide latency with; 0 is 1
	Layered   bool    // a layer's kernel; only Repeated tells
	Early     bool    // independence of all that the run writes: it stands in the wave before the kernel that reads its result
	Tiled     bool    // tileThreads keep a core's matrix units busy, more threads would not help

	// WaitUs is what the loads of the threadgroups that a core takes one after the
	// other take where nothing hides them.
	WaitUs float64

	Exchanges float64 // exchanges of values among the threads of a threadgroup, each thread's

	// What every threadgroup does before its main stage can start.
	PrologueCache float64 // bytes, all threadgroups together
	PrologueFlops float64
	PrologueSteps float64 // reductions that main waits for
}

// Us returns the time the kernel takes alone, without its launch, in
// microseconds.
func (k Kernel) Us(t *target.Target) float64 { return k.us(t, k.share(t)) }

// share is the part of the machine that the kernel's threads fill: half of the
// threads that fit are enough to hide latency.
func (k Kernel) share(t *target.Target) float64 { return min(1, k.filled(t)/float64(t.Cores)) }

// filled counts the cores that the kernel keeps busy, each threadgroup at most one.
func (k Kernel) filled(t *target.Target) float64 {
	if k.Tiled {
		return k.Groups * k.Threads / tileThreads
	}
	return k.Groups * min(1, k.Threads*max(1, k.Loads)/(float64(t.CoreThreads)/2))
}

func (k Kernel) us(t *target.Target, share float64) float64 {
	const perUs = 1e-3 // GB/s to bytes a us, and its reciprocal below
	mainUs := max(
		k.Memory*perUs/(t.BandwidthGBs*share),
		k.Cache*perUs/(t.CacheGBs*share),
		k.LineParts*perUs*t.PieceNs/(float64(t.Cores)*share),
		k.Flops*perUs*perUs/(t.TFlops*share),
		k.Tile*perUs*perUs/(t.TileTFlops*share),
		k.matrixUs(t, share),
		k.taken(t)*t.GroupUs,
		k.WaitUs,
	)
	return mainUs + k.prologueUs(t, share) + k.exchangeUs(t)
}

// matrixUs is the time of the matrix units, where a kernel uses them.
func (k Kernel) matrixUs(t *target.Target, share float64) float64 {
	if k.Matrix == 0 {
		return 0
	}
	return k.Matrix * 1e-6 / (t.MatrixTFlops * share)
}

// exchangeUs is what emulated threads pay for exchanging values; GPUs have no such
// cost apart.
func (k Kernel) exchangeUs(t *target.Target) float64 {
	if t.ExchangeNs == 0 {
		return 0
	}
	return math.Ceil(k.Groups/float64(t.Cores)) * k.Threads * k.Exchanges * t.ExchangeNs * 1e-3
}

func (k Kernel) prologueUs(t *target.Target, share float64) float64 {
	return k.PrologueCache*1e-3/(t.CacheGBs*share) + k.PrologueFlops*1e-6/(t.TFlops*share) + k.PrologueSteps*k.rounds(t)*t.LatencyUs
}

// taken is rounds with the threadgroups that have no work: a core takes them up, too.
func (k Kernel) taken(t *target.Target) float64 {
	k.Groups += k.Idle
	return k.rounds(t)
}

// rounds is how often a core must take up threadgroups that work, counted in fractions.
func (k Kernel) rounds(t *target.Target) float64 {
	resident := max(1, math.Floor(float64(t.CoreThreads)/max(1, k.Threads)))
	return max(1, k.Groups/(float64(t.Cores)*resident))
}

// Wave returns the time of kernels that run side by side between two barriers:
// they share bandwidth, each has its own latency, and each costs a dispatch.
func Wave(ks []Kernel, t *target.Target) float64 {
	if len(ks) == 0 {
		return 0
	}
	longest, sum, filled := 0.0, 0.0, 0.0
	for _, k := range ks {
		filled += k.filled(t)
		longest = max(longest, k.Us(t))
	}
	share := min(1, filled/float64(t.Cores))
	for _, k := range ks {
		sum += k.us(t, share)
	}
	return max(longest, sum) + t.WaveUs + float64(len(ks))*t.DispatchUs
}

// Total returns the time of a run of waves in commandBuffers command buffers, 0
// for the best number, and the number taken.
func Total(waves [][]Kernel, t *target.Target, commandBuffers int) (us float64, buffers int) {
	return LoadOf(waves, t).Us(t, commandBuffers)
}

// Load is what a run asks of the device, and of the host that encodes it. Of a model
// with equal layers both grow by the same with each layer.
type Load struct {
	DeviceUs   float64 // time of the device for the waves, in one command buffer
	Dispatches int
}

// LoadOf adds up waves on t.
func LoadOf(waves [][]Kernel, t *target.Target) Load {
	var l Load
	for _, w := range waves {
		l.DeviceUs += Wave(w, t)
		l.Dispatches += len(w)
	}
	return l
}

// Us returns the time of a run in commandBuffers command buffers, 0 for the best
// number, and the number taken. The first buffer is encoded before the device starts;
// the others are encoded while it works.
func (l Load) Us(t *target.Target, commandBuffers int) (us float64, buffers int) {
	device, encode := l.DeviceUs, float64(l.Dispatches)*t.EncodeUs
	total := func(n int) float64 {
		first := encode / float64(n)
		return t.SubmitUs + first + max(device, encode-first) + float64(n-1)*t.CommandBufferUs
	}
	if commandBuffers > 0 {
		return total(commandBuffers), commandBuffers
	}
	best := 1
	for n := 2; n <= min(64, l.Dispatches) && total(n) < total(best); n++ {
		best = n
	}
	return total(best), best
}

// Typical returns the run that decisions for a graph are made for: the longest
// chunk for a graph of many tokens, half of the context cached for one.
func Typical(b sym.Bounds) sym.Env {
	e := sym.Env{T: min(b.TMax, b.SMax-b.PMin), P: b.PMin}
	if e.T == 1 {
		e.P = (b.PMin + min(b.PMax, b.SMax-1)) / 2
	}
	return e
}
