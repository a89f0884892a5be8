package kernel

// fewTurns is how many turns of a thread are written as a loop of known length, which
// compilers unroll to the loads alone.
const fewTurns = 4

// TurnsOf returns how often each of so many threads has its turn where together they go
// over size elements, width at a time; few where that is a loop of known length.
func TurnsOf(size int64, threads, width int) (n int64, few bool) {
	step := int64(threads) * int64(width)
	n = (size + step - 1) / step
	return n, n <= fewTurns
}
