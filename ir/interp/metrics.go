package interp

import (
	"fmt"
	"math"
)

// Difference says how far values lie from a reference.
type Difference struct {
	NMSE   float64 // sum of squared errors / sum of squared reference values
	MaxAbs float64 // largest absolute error
	MaxULP uint64  // largest error in steps of float32 between the rounded values
	At     int     // the place of MaxAbs
}

// String prints the three numbers.
func (d Difference) String() string {
	return fmt.Sprintf("NMSE %.3g, max abs %.3g at %d, max ULP %d", d.NMSE, d.MaxAbs, d.At, d.MaxULP)
}

// Compare returns how far have lies from want, which must be as long. Where one
// of two values is NaN, or they differ and one is infinite, NMSE and MaxAbs are
// +Inf: no bound admits that. Against a reference of zeros NMSE is 0 or +Inf.
func Compare[A, B real](have []A, want []B) Difference {
	if len(have) != len(want) {
		panic(fmt.Sprintf("interp: cannot compare %d values with %d", len(have), len(want)))
	}
	var d Difference
	var errors, squares float64
	for i, w := range want {
		h, w := float64(have[i]), float64(w)
		if h == w || math.IsNaN(h) && math.IsNaN(w) {
			if !math.IsNaN(w) && !math.IsInf(w, 0) {
				squares += w * w
			}
			continue
		}
		e := math.Abs(h - w)
		if math.IsNaN(e) {
			e = math.Inf(1)
		}
		if e > d.MaxAbs {
			d.MaxAbs, d.At = e, i
		}
		d.MaxULP = max(d.MaxULP, ulps(float32(h), float32(w)))
		errors += e * e
		squares += w * w
	}
	if errors > 0 {
		d.NMSE = errors / squares
		if math.IsNaN(d.NMSE) {
			d.NMSE = math.Inf(1)
		}
	}
	return d
}

// ulps counts the float32 values from a to b; NaN is the farthest from all.
func ulps(a, b float32) uint64 {
	if a != a || b != b {
		return math.MaxUint64
	}
	return uint64(max(floatOrder(a)-floatOrder(b), floatOrder(b)-floatOrder(a)))
}

// floatOrder numbers the float32 values in their order; both zeros are 0.
func floatOrder(f float32) int64 {
	bits := int64(math.Float32bits(f) & math.MaxInt32)
	if math.Signbit(float64(f)) {
		return -bits
	}
	return bits
}

// KL returns the divergences KL(p || q) and KL(q || p), in nats, of the softmax
// distributions of two rows of logits of one length.
func KL[A, B real](p []A, q []B) (pq, qp float64) {
	if len(p) != len(q) {
		panic(fmt.Sprintf("interp: cannot compare %d logits with %d", len(p), len(q)))
	}
	logP, logQ := logSoftmax(p), logSoftmax(q)
	for i := range logP {
		gap := logP[i] - logQ[i]
		// Where a probability is 0 its term is 0, whatever the other one is.
		if f := math.Exp(logP[i]); f > 0 {
			pq += f * gap
		}
		if f := math.Exp(logQ[i]); f > 0 {
			qp -= f * gap
		}
	}
	return pq, qp
}

func logSoftmax[F real](x []F) []float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, float64(v))
	}
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v) - top - math.Log(sum)
	}
	return out
}

// Agreement returns how many leading ids of have equal want's, over the length
// of the shorter. ok is false when the first difference counts: when the
// reference's margin there, its best logit less its second, exceeds bound.
func Agreement[F real](have, want []int32, margins []F, bound float64) (same int, ok bool) {
	n := min(len(have), len(want))
	for same < n && have[same] == want[same] {
		same++
	}
	return same, same == n || float64(margins[same]) <= bound
}
