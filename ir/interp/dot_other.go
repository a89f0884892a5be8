//go:build !amd64

package interp

// dot returns the sum of x[i]*w[i], added up in float64.
func dot(x, w []float32) float64 { return inFourSums(x, w) }
