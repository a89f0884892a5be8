//go:build !race

package mtl

// raceDetector reports whether the detector, which allocates, watches the tests.
const raceDetector = false
