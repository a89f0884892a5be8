package plan

import "slices"

// ranges says which buffer wrote each byte last, as sorted disjoint pieces an
// address space.
type ranges map[int][]piece

type piece struct {
	lo, hi int64
	buffer int
}

// set gives bytes [lo, hi) of space to buffer.
func (r ranges) set(space int, lo, hi int64, buffer int) {
	old := r[space]
	first := firstEndingAfter(old, lo)
	last := first
	fresh := make([]piece, 0, 3)
	if first < len(old) && old[first].lo < lo {
		fresh = append(fresh, piece{old[first].lo, lo, old[first].buffer})
	}
	fresh = append(fresh, piece{lo, hi, buffer})
	for last < len(old) && old[last].lo < hi {
		if old[last].hi > hi {
			fresh = append(fresh, piece{hi, old[last].hi, old[last].buffer})
		}
		last++
	}
	r[space] = slices.Replace(old, first, last, fresh...)
}

// missing returns the first byte of [lo, hi) that buffer did not write last, and
// the buffer that did, -1 for none; at is -1 when there is no such byte.
func (r ranges) missing(space int, lo, hi int64, buffer int) (at int64, owner int) {
	pieces := r[space]
	for i := firstEndingAfter(pieces, lo); lo < hi; i++ {
		if i == len(pieces) || pieces[i].lo > lo {
			return lo, -1
		}
		if pieces[i].buffer != buffer {
			return lo, pieces[i].buffer
		}
		lo = pieces[i].hi
	}
	return -1, -1
}

func firstEndingAfter(pieces []piece, lo int64) int {
	i, _ := slices.BinarySearchFunc(pieces, lo, func(p piece, lo int64) int {
		if p.hi <= lo {
			return -1
		}
		return 1
	})
	return i
}
