// Package target turns the name of a machine into the numbers that compile
// decisions rest on: bandwidths, fixed costs, limits, the weight formats that
// kernels exist for. A target is data; nothing here is measured at run time.
//
// Read next: data.go for the numbers and where they come from, then
// foundry/ir/cost, which predicts times with them.
package target

import (
	"fmt"
	"foundry/ir/names"
	"slices"
	"strings"
)

// Target describes one kind of machine.
type Target struct {
	Name   string // the name, such as "apple-m3-pro"
	Family string // the family: "apple" | "nvidia" | "cpu"
	Note   string // the source of the numbers and what they are worth

	Cores        int     // GPU cores, streaming multiprocessors or CPU cores
	BandwidthGBs float64 // bandwidth of reads from memory
	CacheGBs     float64 // bandwidth of reads that the last-level cache answers, all cores together
	CacheBytes   int64   // last-level cache
	TFlops       float64 // f32 multiply and add, outside matrix units
	TileTFlops   float64 // products of a tile of f16 operands accumulated in f32
	MatrixTFlops float64 // products of f16 operands in f32 by matrix units that all simdgroups of a threadgroup use together, as Metal 4 has them; 0 where there are none
	CoreThreads  int     // threads that one core keeps in flight
	LoadAhead    int     // registers of a lane for loads on their way, where simdgroups wait for others and more of them at once would not help
	LineBytes    int     // bytes of one memory transaction
	TileFloats   int     // accumulators of tiles that a thread can hold in registers
	MatrixFloats int     // sums of matrix units that a thread can hold
	MatrixRows   int     // rows that a block of theirs has, or a multiple
	MatrixGroup  int     // simdgroups of a threadgroup that uses them
	MatrixHead   int     // elements of a head that they take at once in attention; 0 where tiles are faster
	CopyStages   int     // blocks that a tiled product keeps of what it copies: one in use, the others on their way
	CoreBytes    int     // threadgroup memory of one core
	CoreFloats   int     // registers of one core, of 32 bits

	DispatchUs      float64 // the cost of one more dispatch within a wave
	WaveUs          float64 // the cost of a barrier and of the refill of the machine after it
	GroupUs         float64 // fixed cost of one threadgroup on one core
	PieceNs         float64 // time of a core to copy a part of a line to threadgroup memory, however short; 0 where nobody measured it, as the next two
	StepUs          float64 // the cost of a tiled product's barrier between two blocks
	TileStepUs      float64 // time of a simdgroup to load its tiles of a block, for each tile's depth, where nothing hides it
	ExpandStepUs    float64 // what a threadgroup that expands weights waits for at each block, where no others of its core hide it; 0 where nobody measured it
	ExpandThreads   float64 // threads of a core that hide it, expanding themselves
	LatencyUs       float64 // time from a load to a barrier past its reduction: what a prologue that reduces adds to a threadgroup
	ExchangeNs      float64 // each thread's cost of an exchange of values within a threadgroup, where threads are emulated; 0 on GPUs
	CommandBufferUs float64 // device time lost at the border of two command buffers
	EncodeUs        float64 // host time to encode one dispatch
	SubmitUs        float64 // host time from committing a command buffer to its start

	// Slots is what a lane issues for each weight in rows of products, everything in the main
	// loop together and integer operations twice, by format as dtype.Type.Format names it,
	// where it was counted in machine code (ir/cost/testdata/slots-sm90.csv); what others
	// take is estimated from multiply-adds.
	Slots map[string]float64
	// SlotNs is how long a lane takes for a slot where its simdgroup is alone on its
	// scheduler, nanoseconds; 0 where nobody measured it.
	SlotNs float64

	// Quantised dtypes whose rows are loaded with levels and scales apart, since
	// wide loads gain more than a copy of the weights costs.
	Planes []string
	// Quantised dtypes of whose chunks a lane has LoadAhead registers on their way, where
	// simdgroups wait for others and a vector is staged, since that was measured to gain; of
	// others it has few.
	ChunksAhead []string

	Limits Limits
}

// Limits is what one kernel may use on a target.
type Limits struct {
	Slots            int      // buffer arguments
	Threads          int      // threads a threadgroup
	ThreadgroupBytes int      // threadgroup memory a threadgroup
	MatrixBytes      int      // threadgroup memory of one whose kernel uses matrix units
	ThreadgroupAlign int      // length granularity of a threadgroup argument, bytes
	SIMDWidth        int      // lanes a simdgroup
	ConstantAlign    int      // alignment of buffer offsets in constant space, bytes
	Weights          []string // formats of weights that kernels exist for, as dtype.Type.Format names them
	Cache            []string // dtypes of caches that kernels exist for
}

// HasPlanes reports whether weights of the named dtype lie in planes.
func (t *Target) HasPlanes(dtype string) bool { return slices.Contains(t.Planes, dtype) }

// HasChunksAhead reports whether a lane has many chunks of the named dtype on their way.
func (t *Target) HasChunksAhead(dtype string) bool { return slices.Contains(t.ChunksAhead, dtype) }

// HasWeights reports whether kernels read weights of the named format.
func (l Limits) HasWeights(format string) bool { return slices.Contains(l.Weights, format) }

// HasCache reports whether kernels read and write caches of the named dtype.
func (l Limits) HasCache(dtype string) bool { return slices.Contains(l.Cache, dtype) }

// Default is the target when nothing else is asked for.
const Default = "apple-m3-pro"

// Find returns a copy of the target with the given name, or an error that names
// the nearest one.
func Find(name string) (*Target, error) {
	var known []string
	for _, t := range All() {
		known = append(known, t.Name)
		if t.Name == name {
			return &t, nil
		}
	}
	return nil, fmt.Errorf("there is no target %q, want one of %s%s", name, strings.Join(known, ", "), names.DidYouMean(name, known))
}
