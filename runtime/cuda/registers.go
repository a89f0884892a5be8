package cuda

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"foundry/ir/sym"
	"foundry/lower/plan"
	"foundry/runtime/msl"
)

// What a multiprocessor of compute capability 9.0 has, and how it hands registers out.
const (
	coreRegisters = 64 << 10
	coreThreads   = 2048
	coreShared    = 228 << 10
	groupShared   = 1 << 10 // what the driver keeps of each threadgroup's
	registerStep  = 8
)

// leastThreads of a multiprocessor hide what memory takes. With 512, down at 7b on an H200 took
// 18.0 us in q4_k, 17.2 with 768.
const leastThreads = 768

// mostTurns is how many turns registers may be shared out for. In more, threadgroups end one
// by one and no turn is full or empty.
const mostTurns = 3

// registersRule counts the forms of the rule below; machine code that another form settled is
// not taken from a cache.
const registersRule = 2

// shares returns, for each kernel of p, how many of its threadgroups a multiprocessor of
// so many gets in a run: the most of all its dispatches, 0 where a grid depends on the run.
func shares(p *plan.Plan, cores int) []int {
	out := make([]int, len(p.Kernels))
	open := make([]bool, len(p.Kernels))
	for i := range p.Entries {
		e := &p.Entries[i]
		for _, s := range e.Steps {
			if s.Dispatch == nil {
				continue
			}
			k, first := s.Dispatch.Kernel, s.Dispatch.Groups(sym.Env{T: e.TMin})
			for _, env := range []sym.Env{{T: e.TMax}, {T: e.TMin, P: p.MaxP(e, e.TMin)}} {
				open[k] = open[k] || s.Dispatch.Groups(env) != first
			}
			out[k] = max(out[k], int((first+int64(cores)-1)/int64(cores)))
		}
	}
	for i, is := range open {
		if is {
			out[i] = 0
		}
	}
	return out
}

// crowded reports whether threadgroups of k wait for others because of the registers that
// each of its threads takes, where a multiprocessor gets share of them. Measured on an
// H200: kernels all of whose threadgroups run at once are up to a fifth faster with as many
// registers as they like (attention at 7b 2.8 us against 3.6), the others by as much slower
// (q5_k's gate and up 39.6 against 33.2).
func crowded(k *plan.Kernel, registers, share int) bool {
	if msl.Matrices(k) {
		return false // whose warpgroups say themselves how many share a multiprocessor
	}
	threads := k.Threads[0] * k.Threads[1] * k.Threads[2]
	each := (registers + registerStep - 1) / registerStep * registerStep * threads
	return share*threads > coreThreads || share*each > coreRegisters
}

// bound is a number of threadgroups that a multiprocessor has at once, whose registers a
// kernel is compiled for, and the fewest registers with which that is taken.
type bound struct{ atOnce, least int }

// atOnce is how many of k's threadgroups a multiprocessor has at once, whose threads take so
// many registers.
func atOnce(k *plan.Kernel, registers int) int {
	threads := k.Threads[0] * k.Threads[1] * k.Threads[2]
	each := (max(registers, 1) + registerStep - 1) / registerStep * registerStep * threads
	return min(coreRegisters/each, mostAtOnce(k))
}

// mostAtOnce is atOnce however few registers they take.
func mostAtOnce(k *plan.Kernel) int {
	return min(coreThreads/(k.Threads[0]*k.Threads[1]*k.Threads[2]), coreShared/(msl.SharedBytes(k)+groupShared))
}

// bounds are what is tried for k, the best first, where a multiprocessor gets share of its
// threadgroups and the compiler, not knowing the grid, weighed registers: even turns, half of
// the threads where weighed registers leave fewer, and all registers that as many threadgroups
// at once as with weighed ones leave. One H200, 7b, us.
//
//   - All at once or in two even turns, with as many registers as weighed, or an eighth fewer
//     in two turns; fewer put loads behind sums that could have gone ahead. Weighed and in
//     turns: gate and up (five of nine) 39.2 and 36.6 in q8_0, 33.9 and 30.5 in q6_k; QKV
//     (three of five) 8.9 and 7.8 in q8_0, 8.1 and 7.2 in q6_k, 8.4 and 7.9 in q5_k, 7.3 and
//     6.6 in affine4. With a quarter fewer, gate and up in q4_0 took 27.2 for 26.6.
//   - Three even turns, where all threads together have as many registers as weighed: what they
//     hold is what is on its way. Gate and up (three of nine), loads of all rounds ahead: 27.6
//     and 24.3 in q4_k, 31.9 and 27.9 in q5_k; loads of one round, whose registers are
//     fewer in all: 28.5 and 30.3 in q4_k's blocks.
//   - Half of the threads, an eighth fewer registers: the head in q4_k, of 36 threadgroups, 103.7
//     weighed (69 registers), 99.9 with 78, 96.3 with 64.
//   - More registers and no threadgroup fewer: the head in q5_k 126.4 (54 registers) and 112.7
//     (64). So it was faster in 66 of 71 measured cases, and at worst 2 % slower.
func bounds(k *plan.Kernel, share, weighed int) (out []bound) {
	threads := k.Threads[0] * k.Threads[1] * k.Threads[2]
	is := atOnce(k, weighed)
	add := func(n, least int) {
		if n < 2 || n > share || n > mostAtOnce(k) {
			return
		}
		if i := slices.IndexFunc(out, func(b bound) bool { return b.atOnce == n }); i >= 0 {
			out[i].least = min(out[i].least, least)
			return
		}
		out = append(out, bound{n, least})
	}
	for of, least := range [mostTurns]int{weighed, weighed * 7 / 8, weighed * is} {
		n := (share + of) / (of + 1)
		if n*threads < leastThreads {
			continue
		}
		if of == mostTurns-1 {
			least = (least + n - 1) / n
		}
		add(n, least)
	}
	if n := coreThreads / 2 / threads; n > is {
		add(n, weighed*7/8)
	}
	add(is, weighed+1)
	return out
}

// betters reports whether a kernel that is compiled for b is taken for one with weighed
// registers: nothing is spilled that is not spilled with registers free.
func betters(used, free notes, b bound) bool {
	return used.frame <= free.frame && used.registers >= b.least
}

// notes are what a cubin says of a kernel.
type notes struct {
	registers int // a thread's registers
	frame     int // bytes of a thread's stack
}

// notesOf reads a cubin's notes, by kernel.
func notesOf(code []byte) (map[string]notes, error) {
	// Cubins of sm_90a say another version of ELF in one place than in the other.
	const identVersion, version = 6, 20
	if len(code) <= version {
		return nil, errors.New("machine code that is no ELF file")
	}
	code = slices.Clone(code)
	code[version] = code[identVersion]
	f, err := elf.NewFile(bytes.NewReader(code))
	if err != nil {
		return nil, err
	}
	info := f.Section(".nv.info")
	if info == nil {
		return nil, errors.New("machine code without notes on its registers")
	}
	data, err := info.Data()
	if err != nil {
		return nil, err
	}
	symbols, err := f.Symbols()
	if err != nil {
		return nil, err
	}
	// Entries: format, attribute, size of what follows; of the two that count, a symbol (of
	// which Symbols leaves out the first) and a number.
	const sized, regcount, framesize = 4, 0x2f, 0x11
	out := map[string]notes{}
	for len(data) >= 4 {
		n := 4
		if data[0] == sized {
			n += int(binary.LittleEndian.Uint16(data[2:]))
		}
		if n > len(data) {
			return nil, errors.New("notes on registers that end early")
		}
		if data[0] == sized && n == 12 && (data[1] == regcount || data[1] == framesize) {
			at, v := int(binary.LittleEndian.Uint32(data[4:]))-1, int(binary.LittleEndian.Uint32(data[8:]))
			if at < 0 || at >= len(symbols) {
				return nil, fmt.Errorf("notes on registers name symbol %d of %d", at+1, len(symbols))
			}
			k := out[symbols[at].Name]
			if data[1] == regcount {
				k.registers = v
			} else {
				k.frame = v
			}
			out[symbols[at].Name] = k
		}
		data = data[n:]
	}
	return out, nil
}
