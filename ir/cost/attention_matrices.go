package cost

import (
	"iter"
	"math"

	"foundry/ir/kernel"
	"foundry/ir/target"
)

// scoreOps is what lanes do for a score: to put it where its row's lanes find it, scale,
// compare and mask it, its exponential, its weight as a half.
const scoreOps = 16

// attentionMatrices yields attention of heads of dim elements by a target's matrix units.
func attentionMatrices(dim int64, t *target.Target) iter.Seq[kernel.AttentionMatrices] {
	return func(yield func(kernel.AttentionMatrices) bool) {
		if t.MatrixTFlops == 0 || t.MatrixHead != kernel.HeadPart || dim%kernel.HeadPart != 0 {
			return
		}
		for _, x := range [...]struct{ rows, keys, simdgroups int }{{64, 64, 4}, {64, 32, 4}, {32, 32, 4}, {128, 64, 8}} {
			k := kernel.AttentionMatrices{Rows: x.rows, Keys: x.keys, Simdgroups: x.simdgroups}
			if k.Rows%t.MatrixRows == 0 && k.Simdgroups <= t.MatrixGroup && k.Bytes(dim) <= t.Limits.MatrixBytes && !yield(k) {
				return
			}
		}
	}
}

// attentionInMatrices is the pass over the keys by matrix units. While lanes make weights of
// scores the units of their threadgroup are idle.
func attentionInMatrices(as kernel.AttentionMatrices, heads, tokens, keys, d int64, t *target.Target) Kernel {
	k := Kernel{Groups: float64(heads) * math.Ceil(float64(tokens)/float64(as.Rows)), Threads: float64(as.Threads()), Tiled: true}
	scores := k.Groups * float64(as.Rows) * float64(keys)
	lanes := scores * (scoreOps + float64(d)/float64(as.Keys)) // which scale the result for each block
	k.Matrix = scores*float64(d)*4 + lanes*t.MatrixTFlops/t.TFlops
	resident := float64(max(1, min(t.CoreThreads/as.Threads(), t.CoreFloats/(as.Threads()*as.Registers(d)), t.CoreBytes/as.Bytes(d))))
	k.Matrix *= max(1, min(tileThreads, float64(t.CoreThreads))/(resident*k.Threads))
	k.Cache = k.Groups * float64(keys) * float64(d) * 4
	// The simdgroups wait for a block of keys, then for its values.
	k.WaitUs = math.Ceil(k.Groups/float64(t.Cores)/resident) * math.Ceil(float64(keys)/float64(as.Keys)) * 2 * t.LatencyUs
	return k
}
