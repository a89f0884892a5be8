package sampling

import "math/bits"

// Uniform returns the random number of a seed and a counter: the first of Uniforms.
func Uniform(seed uint64, counter uint32) float64 { return Uniforms(seed, counter, 0) }

// Uniforms returns the i-th random number of a seed and a counter: a multiple of
// 2^-24 in [0, 1), so that it is the same in f32. Numbers 4j to 4j+3 are the words
// of Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3;
// 2011) for the counter (counter, j, 0, 0) and the seed as the key, low word first.
func Uniforms(seed uint64, counter, i uint32) float64 {
	words := Philox([4]uint32{counter, i / 4}, [2]uint32{uint32(seed), uint32(seed >> 32)})
	return float64(words[i%4]>>8) * (1.0 / (1 << 24))
}

// Philox is the block function of Philox4x32 with ten rounds.
func Philox(counter [4]uint32, key [2]uint32) [4]uint32 {
	for range 10 {
		hi0, lo0 := bits.Mul32(0xD2511F53, counter[0])
		hi1, lo1 := bits.Mul32(0xCD9E8D57, counter[2])
		counter = [4]uint32{hi1 ^ counter[1] ^ key[0], lo1, hi0 ^ counter[3] ^ key[1], lo0}
		key[0] += 0x9E3779B9
		key[1] += 0xBB67AE85
	}
	return counter
}
