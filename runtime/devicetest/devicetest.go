// Package devicetest turns a way to open a Device into a verdict: the
// conformance suite that every device must pass before a plan runs on it.
//
// The kernels here are small and written by hand, so that a failure points at
// the device and not at the compiler. Everything is exact: integers, or floats
// whose every operation rounds once.
//
// Read next: foundry/runtime/cpu, the conformance device.
package devicetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/runtime"
)

// cases are what a device is asked; each gets a device of its own.
var cases = []struct {
	name string
	run  func(*rig)
}{
	{"memory/zeroed", memoryZeroed},
	{"memory/offsets", memoryOffsets},
	{"memory/uses", memoryUses},
	{"memory/bounds", memoryBounds},
	{"memory/sizes", memorySizes},
	{"kernel/elementwise", elementwise},
	{"kernel/vectors", vectors},
	{"kernel/half", halfConversion},
	{"kernel/bits", bits},
	{"kernel/no-contraction", noContraction},
	{"kernel/threadgroup-reduction", threadgroupReduction},
	{"kernel/threadgroup-arguments", threadgroupArguments},
	{"kernel/simdgroup", simdgroup},
	{"kernel/matrix-elements", matrixElements},
	{"kernel/atomics", atomics},
	{"kernel/grid", gridOfThreeDims},
	{"kernel/step", stepArgument},
	{"kernel/operand-offset", operandOffset},
	{"kernel/same-names", sameNames},
	{"order/chain", chain},
	{"order/barrier", barrierOrdersThreadgroups},
	{"order/command-buffers", commandBuffers},
	{"order/goroutines", goroutines},
	{"order/recording", recording},
	{"times", times},
	{"read-bandwidth", readBandwidth},
	{"errors/compile", compileError},
	{"errors/operands", operandErrors},
	{"errors/cancelled", cancelledLoad},
}

// Run runs the suite, each case on a device from open. A device that cannot be
// had here is the caller's to skip: an error of open fails the test.
func Run(t *testing.T, open func() (runtime.Device, error)) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dev, err := open()
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, dev.Close()) }) // after the programs
			c.run(&rig{T: t, dev: dev})
		})
	}
}
