package plan

import "slices"

// ranges says which buffer wrote each byte last: for each address space, by the
// pieces between all the places where a binding begins or ends.
type ranges map[int]*segmentTree

// segmentTree is a segment tree. Leaf i stands for bytes [cuts[i], cuts[i+1]).
type segmentTree struct {
	cuts  []int64
	owner []int // the owner of a node's bytes, as heaps count nodes: a buffer, nobody or several
}

const (
	nobody  = -1
	several = -2
)

// newRanges returns ranges for what the bindings touch; nobody has written.
func (p *Plan) newRanges(e *Entry) ranges {
	cuts := map[int][]int64{}
	for i := range e.Steps {
		d := e.Steps[i].Dispatch
		if d == nil {
			continue
		}
		for _, b := range d.Bind {
			if b.Buffer < 0 || b.Buffer >= len(p.Buffers) {
				continue // verifyBinding says so
			}
			if space, lo, runOnly := p.locate(b); runOnly {
				cuts[space] = append(cuts[space], lo, lo+b.Bytes)
			}
		}
	}
	r := ranges{}
	for space, c := range cuts {
		r[space] = newSegmentTree(c)
	}
	return r
}

func newSegmentTree(cuts []int64) *segmentTree {
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	return &segmentTree{cuts, slices.Repeat([]int{nobody}, 4*len(cuts))}
}

// set gives bytes [lo, hi) of space to buffer.
func (r ranges) set(space int, lo, hi int64, buffer int) {
	s := r[space]
	s.set(1, 0, len(s.cuts)-1, lo, hi, buffer)
}

func (s *segmentTree) set(node, first, last int, lo, hi int64, buffer int) {
	switch {
	case hi <= s.cuts[first] || s.cuts[last] <= lo || s.owner[node] == buffer:
		return
	case lo <= s.cuts[first] && s.cuts[last] <= hi:
		s.owner[node] = buffer
		return
	}
	if s.owner[node] != several { // its halves have not been told
		s.owner[2*node], s.owner[2*node+1] = s.owner[node], s.owner[node]
	}
	middle := (first + last) / 2
	s.set(2*node, first, middle, lo, hi, buffer)
	s.set(2*node+1, middle, last, lo, hi, buffer)
	s.owner[node] = s.owner[2*node]
	if s.owner[2*node] != s.owner[2*node+1] {
		s.owner[node] = several
	}
}

// missing returns the first byte of [lo, hi) that buffer did not write last, and
// the buffer that did, nobody for none; at is -1 when there is no such byte.
func (r ranges) missing(space int, lo, hi int64, buffer int) (at int64, owner int) {
	s := r[space]
	return s.missing(1, 0, len(s.cuts)-1, lo, hi, buffer)
}

func (s *segmentTree) missing(node, first, last int, lo, hi int64, buffer int) (at int64, owner int) {
	switch owner := s.owner[node]; {
	case hi <= s.cuts[first] || s.cuts[last] <= lo || owner == buffer:
		return -1, nobody
	case owner != several:
		return max(lo, s.cuts[first]), owner
	}
	middle := (first + last) / 2
	if at, owner := s.missing(2*node, first, middle, lo, hi, buffer); at >= 0 {
		return at, owner
	}
	return s.missing(2*node+1, middle, last, lo, hi, buffer)
}
