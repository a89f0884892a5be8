//go:build race

package mtl

const raceDetector = true
