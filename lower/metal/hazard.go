package metal

import (
	"foundry/lower/plan"
)

// span is bytes [lo, hi) of an address space, and what is done to them: all
// transients share the space of the arena, every other buffer is one.
type span struct {
	space  int
	lo, hi int64
	access plan.Access
}

const arena = -1

func spanOf(s *storage, b plan.Binding) span {
	if s.class == plan.Transient {
		return span{arena, s.offset + b.Offset, s.offset + b.Offset + b.Bytes, b.Access}
	}
	return span{s.index, b.Offset, b.Offset + b.Bytes, b.Access}
}

func (a span) conflicts(b span) bool {
	return a.space == b.space && a.lo < b.hi && b.lo < a.hi && (a.access.Writes() || b.access.Writes())
}

// fewestBarriers returns before which dispatches a barrier must stand so that no
// two conflicting ones lie between the same barriers. Putting each barrier as late
// as the order allows gives the fewest: any other choice has one at or before
// each of these.
func fewestBarriers(dispatches [][]span) []bool {
	out := make([]bool, len(dispatches))
	open := map[int][]span{} // since the last barrier, by space
	for i, d := range dispatches {
		if meetsAny(open, d) {
			out[i] = true
			clear(open)
		}
		for _, s := range d {
			open[s.space] = append(open[s.space], s)
		}
	}
	return out
}

func meetsAny(open map[int][]span, d []span) bool {
	for _, s := range d {
		for _, o := range open[s.space] {
			if s.conflicts(o) {
				return true
			}
		}
	}
	return false
}
