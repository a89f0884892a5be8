package interp

// inFourSums returns the sum of x[i]*w[i], added up in float64 in four partial sums, which a
// processor adds to at the same time. The elements are float32 values, so each product is
// exact and a fused multiply-add would give the same sum.
func inFourSums(x, w []float32) float64 {
	var a, b, c, d float64
	w = w[:len(x)]
	for len(x) >= 4 && len(w) >= 4 {
		a += float64(x[0]) * float64(w[0])
		b += float64(x[1]) * float64(w[1])
		c += float64(x[2]) * float64(w[2])
		d += float64(x[3]) * float64(w[3])
		x, w = x[4:], w[4:]
	}
	for i, v := range x {
		a += float64(v) * float64(w[i])
	}
	return (a + b) + (c + d)
}
