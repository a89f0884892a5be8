package cost

import "foundry/ir/target"

// maxChain is how many steps a command buffer holds at most: behind it the borders cost
// less than a percent of any step that kernels of microseconds make.
const maxChain = 16

// chainUs is how long a command buffer may hold back the tokens that its first steps chose,
// microseconds: they shall still come as a stream.
const chainUs = 20_000

// ChainedUs returns the time of a decode step in microseconds where n of them are one
// command buffer and the next buffer is in flight: submitting is hidden behind the buffer
// that runs, and a border comes once in n steps.
func ChainedUs(deviceUs, encodeUs float64, t *target.Target, n int) float64 {
	return max(deviceUs+t.CommandBufferUs/float64(n), encodeUs)
}

// Chain returns how many decode steps a command buffer shall hold: the fewest, of powers of
// two, whose border is less than a percent of them, but no more than tokens that come as a
// stream allow.
func Chain(deviceUs, encodeUs float64, t *target.Target) int {
	n := 1
	for n < maxChain && t.CommandBufferUs > 0.01*float64(n)*deviceUs && 2*float64(n)*ChainedUs(deviceUs, encodeUs, t, 2*n) <= chainUs {
		n *= 2
	}
	return n
}
