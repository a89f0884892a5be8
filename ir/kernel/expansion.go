package kernel

import "fmt"

// Expansion makes halves of weights in another format: each thread expands a chunk of Width
// weights, and the threads of a threadgroup store what they have in the order of memory.
type Expansion struct{ Width int }

// Threads returns how many threads a threadgroup has.
func (Expansion) Threads() int { return 256 }

// Weights returns how many weights a threadgroup expands.
func (e Expansion) Weights() int64 { return int64(e.Threads() * e.Width) }

// Groups returns how many threadgroups expand rows of cols weights.
func (e Expansion) Groups(rows, cols int64) int64 {
	return (rows*cols + e.Weights() - 1) / e.Weights()
}

// ExpansionGap is how many halves stay free behind each 32 in threadgroup memory, so that
// chunks of lanes beside each other meet all banks once.
const ExpansionGap = 4

// Bytes is the threadgroup memory in which chunks change their order.
func (e Expansion) Bytes() int { return Rounded(2 * int(e.Weights()) / 32 * (32 + ExpansionGap)) }

// String is such as "expansion width=32".
func (e Expansion) String() string { return fmt.Sprintf("expansion width=%d", e.Width) }
