package kernel

import "fmt"

// Kernels of kinds of which there is one, and nothing to choose.

// Sample draws a token of each row of Vocab logits in several kernels: a threadgroup looks
// at SamplePart scores, and in the last one at what all parts kept.
type Sample struct{ Vocab int64 }

// The numbers that shaders/main/sample.metal is written for.
const (
	SamplePart       = 4096 // tokens that a threadgroup looks at
	SampleBins       = 2048 // of a histogram
	SampleHistograms = 5    // levels of the search for cuts, of which each has three
	SampleWords      = 32   // words of a row's progress
)

// Threads returns how many threads a threadgroup has.
func (Sample) Threads() int { return 256 }

// Parts returns the threadgroups of a row.
func (s Sample) Parts() int64 { return (s.Vocab + SamplePart - 1) / SamplePart }

// MarkBytes is the threadgroup memory in which a part marks the tokens that were seen.
func (Sample) MarkBytes() int { return SamplePart / 8 }

// HistogramBytes is that of the histograms of a level.
func (Sample) HistogramBytes() int { return 3 * 4 * SampleBins }

// ExchangeBytes is that in which simdgroups exchange sums of weights.
func (Sample) ExchangeBytes() int { return 8 * 16 }

// PartialBytes is that in which they exchange what a part keeps.
func (Sample) PartialBytes() int { return 4 * lanes }

// SampleKernel is one of a sample's kernels.
type SampleKernel struct {
	Name   string
	Groups int64 // threadgroups of a row
	Bytes  int   // threadgroup memory
}

// Kernels lists the kernels in their order: scores, levels, sums and the choice.
func (s Sample) Kernels() []SampleKernel {
	best := BestBytes(s.Threads())
	out := []SampleKernel{{"scores", s.Parts(), Rounded(s.MarkBytes()) + best}}
	for level := range SampleHistograms {
		bytes := s.HistogramBytes()
		if level > 0 {
			bytes += s.ExchangeBytes()
		}
		out = append(out, SampleKernel{fmt.Sprintf("level_%d", level), s.Parts(), bytes})
	}
	return append(out, SampleKernel{"sums", s.Parts(), s.ExchangeBytes() + s.PartialBytes()}, SampleKernel{"choose", 1, s.ExchangeBytes() + best})
}

// String is such as "sample parts=38".
func (s Sample) String() string { return fmt.Sprintf("sample parts=%d", s.Parts()) }

// Create makes elements of nothing: each thread CreateWidth of them.
type Create struct{}

// CreateWidth is how many elements a thread creates: one block of random numbers.
const CreateWidth = 4

// Threads returns how many threads a threadgroup has.
func (Create) Threads() int { return EachThreads }

// String is "create".
func (Create) String() string { return "create" }

// Measure finds the largest elements of weights, and of their rows, in the preparation of a
// plan: MeasureGroups threadgroups share them.
type Measure struct{}

// MeasureGroups is how many threadgroups read a weight, whose findings a simdgroup takes.
const MeasureGroups = 64

// Threads returns how many threads a threadgroup has.
func (m Measure) Threads() int { return m.Simdgroups() * lanes }

// Simdgroups returns those of a threadgroup.
func (Measure) Simdgroups() int { return 8 }

// String is "measure".
func (Measure) String() string { return "measure" }
