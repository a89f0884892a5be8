package kernel

// Elements is a kernel by element: each thread computes Width adjacent ones, or as many
// pairs, of each result.
type Elements struct{ Width int }

// Threads returns how many threads a threadgroup has.
func (Elements) Threads() int { return EachThreads }

// EachThreads are the threads of a threadgroup whose threads make a few elements each, and
// know of no other.
const EachThreads = 256

// Positions is a kernel by element with a threadgroup a position, whose threads compute
// the cosine and the sine of each pair once, and turn the pairs of all heads.
type Positions struct {
	Width   int // pairs that a thread turns at once
	Units   int // groups of Width pairs in all heads of a position
	Largest int // threads that a threadgroup can have
}

// Threads returns how many threads a threadgroup has.
func (p Positions) Threads() int { return min((p.Units+lanes-1)/lanes*lanes, p.Largest) }

// Heads is norms of heads and the rotation behind them, a threadgroup a position, whose
// simdgroups take its Heads in turns.
type Heads struct {
	Heads      int64
	Simdgroups int
}

// Threads returns how many threads a threadgroup has.
func (h Heads) Threads() int { return h.Simdgroups * lanes }

// RowNorm is a norm with a threadgroup a row of Length elements, whose threads keep the
// row in registers between the sum of squares and the result.
type RowNorm struct {
	Length int64
	Width  int // elements that a thread loads at once
}

// Threads returns how many threads a threadgroup has.
func (n RowNorm) Threads() int {
	return int(min(max((n.Length/int64(n.Width)+lanes-1)/lanes*lanes, lanes), 512))
}

// ArgmaxParts is the first kernel of argmax: a threadgroup looks at Part elements of a
// row of Length.
type ArgmaxParts struct{ Length int64 }

// ArgmaxPart is the number of elements that one threadgroup looks at.
const ArgmaxPart = 4096

// Parts returns the threadgroups of a row.
func (a ArgmaxParts) Parts() int64 { return (a.Length + ArgmaxPart - 1) / ArgmaxPart }

// Threads returns how many threads a threadgroup has.
func (ArgmaxParts) Threads() int { return EachThreads }

// ArgmaxMerge is the kernel that finds the best of a row's parts.
type ArgmaxMerge struct {
	Parts   int64
	Largest int // threads that a threadgroup can have
}

// Threads returns how many threads a threadgroup has: one for four parts.
func (m ArgmaxMerge) Threads() int {
	return min(1024, m.Largest, (int(m.Parts)+4*lanes-1)/(4*lanes)*lanes)
}
