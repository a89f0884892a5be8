package runtime

import "math/bits"

// Uniform returns the random number of a seed and a counter: a multiple of 2^-24
// in [0, 1), so that it is the same in f32. It is the first word of Philox4x32-10
// (Salmon et al., Parallel random numbers: as easy as 1, 2, 3; 2011) with the
// counter in the counter's first word and the seed as the key.
func Uniform(seed uint64, counter uint32) float64 {
	r := philox([4]uint32{counter}, [2]uint32{uint32(seed), uint32(seed >> 32)})
	return float64(r[0]>>8) * (1.0 / (1 << 24))
}

// philox is the block function with ten rounds.
func philox(counter [4]uint32, key [2]uint32) [4]uint32 {
	for range 10 {
		hi0, lo0 := bits.Mul32(0xD2511F53, counter[0])
		hi1, lo1 := bits.Mul32(0xCD9E8D57, counter[2])
		counter = [4]uint32{hi1 ^ counter[1] ^ key[0], lo1, hi0 ^ counter[3] ^ key[1], lo0}
		key[0] += 0x9E3779B9
		key[1] += 0xBB67AE85
	}
	return counter
}
