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
const mostTurns = 2

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

// turns are the numbers of k's threadgroups that a multiprocessor may have at once for all
// share of them to run in one turn, or in two even ones.
func turns(k *plan.Kernel, share int) (out []int) {
	threads := k.Threads[0] * k.Threads[1] * k.Threads[2]
	for of := 1; of <= mostTurns; of++ {
		n := (share + of - 1) / of
		if n > 1 && n*threads >= leastThreads && n*threads <= coreThreads && n*(msl.SharedBytes(k)+groupShared) <= coreShared {
			out = append(out, n)
		}
	}
	return out
}

// betters reports whether a kernel with registers for n threadgroups at once of share is taken for one
// whose registers the compiler weighed, not knowing the grid: nothing is spilled, and there are as
// many registers as weighed, or an eighth fewer where two turns follow each other. Fewer put loads
// behind sums that could have gone ahead. One H200, 7b, us, weighed and in even turns: gate and up (five of nine) 39.2
// and 36.6 in q8_0, 33.9 and 30.5 in q6_k; QKV (three of five) 8.9 and 7.8 in q8_0, 8.1 and
// 7.2 in q6_k, 8.4 and 7.9 in q5_k, 7.3 and 6.6 in affine4. With a quarter fewer, gate and up in q4_0 took 27.2 for 26.6.
func betters(used, free, weighed notes, n, share int) bool {
	least := weighed.registers
	if n < share {
		least = least * 7 / 8
	}
	return used.frame <= free.frame && used.registers >= least
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
