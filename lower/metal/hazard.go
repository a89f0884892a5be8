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

// fewestBarriers returns before which dispatches a barrier must stand so that no
// two conflicting ones lie between the same barriers. Putting each barrier as late
// as the order allows gives the fewest: any other choice has one at or before
// each of these.
func fewestBarriers(dispatches [][]span) []bool {
	out := make([]bool, len(dispatches))
	read, written := map[int][]span{}, map[int][]span{} // since the last barrier, by space
	for i, d := range dispatches {
		for _, s := range d {
			out[i] = out[i] || s.meets(written) || s.access.Writes() && s.meets(read)
		}
		if out[i] {
			clear(read)
			clear(written)
		}
		for _, s := range d {
			if s.access.Writes() {
				written[s.space] = with(written[s.space], s)
			} else {
				read[s.space] = with(read[s.space], s)
			}
		}
	}
	return out
}

// with is spans and s, which the last one takes up where it goes on there: dispatches that
// deal a buffer out among them leave one span.
func with(spans []span, s span) []span {
	if n := len(spans); n > 0 && spans[n-1].lo <= s.lo && s.lo <= spans[n-1].hi {
		spans[n-1].hi = max(spans[n-1].hi, s.hi)
		return spans
	}
	return append(spans, s)
}

// meets reports whether s shares bytes with one of the spans of its space.
func (s span) meets(spans map[int][]span) bool {
	for _, o := range spans[s.space] {
		if s.lo < o.hi && o.lo < s.hi {
			return true
		}
	}
	return false
}
