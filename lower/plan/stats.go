package plan

import (
	"fmt"
	"slices"
	"strings"

	"foundry/ir/names"
	"foundry/ir/sym"
)

// EntryStats counts what one run of an entry does at given T and P.
type EntryStats struct {
	Entry          string        `json:"entry"`
	Dispatches     int           `json:"dispatches"`
	Waves          int           `json:"waves"`
	Barriers       int           `json:"barriers"`
	CommandBuffers int           `json:"command_buffers"`
	MovedBytes     int64         `json:"moved_bytes"` // bytes that the dispatches read and write, each operand once a dispatch
	Flops          int64         `json:"flops"`
	WeightBytes    int64         `json:"weight_bytes"` // bytes of the distinct weight buffers that the entry reads, as far as it reads them: few rows of a table
	ArenaBytes     int64         `json:"arena_bytes"`  // bytes of the plan's arena, which the entries share
	Kernels        []KernelStats `json:"kernels"`
}

// KernelStats sums the dispatches of one kernel in an entry.
type KernelStats struct {
	Kernel           string `json:"kernel"`
	Dispatches       int    `json:"dispatches"`
	Threads          int    `json:"threads"`           // a threadgroup
	ThreadgroupBytes int    `json:"threadgroup_bytes"` // a threadgroup
	Threadgroups     int64  `json:"threadgroups"`      // threadgroups of all its dispatches
	MovedBytes       int64  `json:"moved_bytes"`
	Flops            int64  `json:"flops"`
}

// Intensity is floating-point operations a byte moved.
func (k KernelStats) Intensity() float64 {
	if k.MovedBytes == 0 {
		return 0
	}
	return float64(k.Flops) / float64(k.MovedBytes)
}

// ResultBuffer returns the buffer that holds the named result of an entry. Its own name
// is another where a param of the graph has the result's.
func (p *Plan) ResultBuffer(entry, name string) (*Buffer, error) {
	e, err := p.Entry(entry)
	if err != nil {
		return nil, err
	}
	for _, r := range e.Results {
		if r.Name == name {
			return &p.Buffers[r.Buffer], nil
		}
	}
	return nil, fmt.Errorf("entry %s has no result %q", entry, name)
}

// Entry returns the entry of that name.
func (p *Plan) Entry(name string) (*Entry, error) {
	for i := range p.Entries {
		if p.Entries[i].Name == name {
			return &p.Entries[i], nil
		}
	}
	have := make([]string, len(p.Entries))
	for i := range p.Entries {
		have[i] = p.Entries[i].Name
	}
	return nil, fmt.Errorf("the plan has no entry %q, it has %s%s", name, strings.Join(have, ", "), names.DidYouMean(name, have))
}

// EntryFor returns the index of the entry that has a role and runs at any P, -1 for none.
func (p *Plan) EntryFor(r EntryRole) int {
	return slices.IndexFunc(p.Entries, func(e Entry) bool { return e.Role == r && e.PMax == 0 })
}

// EntryAt returns the index of the entry that a driver takes for runs of a role up to P =
// past: of those that reach so far the one that reaches least, -1 for none.
func (p *Plan) EntryAt(r EntryRole, past int64) int {
	best := p.EntryFor(r)
	for i, e := range p.Entries {
		if e.Role == r && past <= e.PMax && (best < 0 || p.Entries[best].PMax == 0 || e.PMax < p.Entries[best].PMax) {
			best = i
		}
	}
	return best
}

// BufferFor returns the index of the buffer that has a role, -1 for none.
func (p *Plan) BufferFor(r BufferRole) int {
	return slices.IndexFunc(p.Buffers, func(b Buffer) bool { return b.Role == r })
}

// ClassBytes is the size of all buffers of a class.
func (p *Plan) ClassBytes(c Class) int64 {
	var n int64
	for i := range p.Buffers {
		if p.Buffers[i].Class == c {
			n += p.Buffers[i].Bytes
		}
	}
	return n
}

// EntryArena is the part of the arena that e uses: what the plan's would be, had it
// no other entry.
func (p *Plan) EntryArena(e *Entry) int64 {
	end := int64(0)
	for i := range e.Steps {
		if d := e.Steps[i].Dispatch; d != nil {
			for _, b := range d.Bind {
				if buf := &p.Buffers[b.Buffer]; buf.Class == Transient {
					end = max(end, buf.Offset+buf.Bytes)
				}
			}
		}
	}
	return end
}

// Stats counts what a run of e does in env. Kernels are listed in the plan's
// order, those that e dispatches only.
func (p *Plan) Stats(e *Entry, env sym.Env) EntryStats {
	s := EntryStats{Entry: e.Name, CommandBuffers: len(e.CommandBuffers), ArenaBytes: p.ArenaBytes}
	kernels := make([]KernelStats, len(p.Kernels))
	weights := make([]int64, len(p.Buffers)) // bytes that count already
	lastWave := -1
	for i := range e.Steps {
		d := e.Steps[i].Dispatch
		if d == nil {
			s.Barriers++
			continue
		}
		s.Dispatches++
		if d.Wave != lastWave {
			s.Waves++
			lastWave = d.Wave
		}
		moved, flops := d.Moved.Eval(env), d.Flops.Eval(env)
		s.MovedBytes += moved
		s.Flops += flops
		k := &kernels[d.Kernel]
		k.Dispatches++
		k.MovedBytes += moved
		k.Flops += flops
		k.Threadgroups += d.Groups(env)
		for _, b := range d.Bind {
			if buf := &p.Buffers[b.Buffer]; buf.Class == Weight {
				more := max(0, min(buf.Bytes, moved)-weights[b.Buffer])
				weights[b.Buffer] += more
				s.WeightBytes += more
			}
		}
	}
	for i, k := range kernels {
		if k.Dispatches == 0 {
			continue
		}
		from := &p.Kernels[i]
		k.Kernel, k.Threads = from.Name, from.Threads[0]*from.Threads[1]*from.Threads[2]
		for _, a := range from.Threadgroup {
			k.ThreadgroupBytes += a.Bytes
		}
		s.Kernels = append(s.Kernels, k)
	}
	return s
}
