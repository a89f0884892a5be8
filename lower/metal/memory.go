package metal

import (
	"cmp"
	"slices"
)

// arenaAlign is the alignment of transients.
const arenaAlign = 256

// lifetime is a range of the arena that is needed from wave first to wave last.
type lifetime struct {
	bytes       int64 // a multiple of arenaAlign
	first, last int
	offset      int64
}

// allocate gives the entry's transients places in the arena. Two share bytes only
// where a wave lies between their lives, so sharing adds no barrier.
func (e *entry) allocate() error {
	lives := make(map[*storage]*lifetime, len(e.transients))
	var order []*lifetime
	for _, s := range e.transients {
		host := s.host()
		if lives[host] == nil {
			lives[host] = &lifetime{bytes: align(host.bytes), first: host.first, last: host.last}
			order = append(order, lives[host])
		}
		lives[host].last = max(lives[host].last, s.last)
	}
	size := pack(order)
	for _, s := range e.transients {
		s.offset = lives[s.host()].offset
	}
	e.c.plan.ArenaBytes = max(e.c.plan.ArenaBytes, size)
	return nil
}

// host returns the storage whose place s takes in the end.
func (s *storage) host() *storage {
	last := s
	for last.inside != nil {
		last = last.inside
	}
	for s != last { // the next to ask has a short way
		s, s.inside = s.inside, last
	}
	return last
}

func align(n int64) int64 { return (n + arenaAlign - 1) / arenaAlign * arenaAlign }

// pack places lifetimes and returns the size of the arena. Largest first, each into
// the tightest gap, is mostly as tight as can be; where it is not, a search goes
// for what lives at once and then for a little more.
func pack(lives []*lifetime) int64 {
	bySize := slices.Clone(lives)
	slices.SortStableFunc(bySize, func(a, b *lifetime) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(b.last-b.first, a.last-a.first))
	})
	size, least := fit(bySize), mostLive(lives)
	for _, limit := range [...]int64{least, align(least + least/32), align(least + least/12)} {
		switch {
		case size <= limit:
			return size
		case search(lives, limit):
			return limit
		}
		size = fit(bySize) // the search has moved them
	}
	return size
}

// search places lifetimes below limit, in the order of their first waves, each at
// an end of a gap; where one finds no room, the one before it moves. It gives up
// after some placements for each.
func search(lives []*lifetime, limit int64) bool {
	order := slices.Clone(lives)
	slices.SortStableFunc(order, func(a, b *lifetime) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.bytes, a.bytes))
	})
	places := make([][]int64, len(order)) // still to be tried, by lifetime
	budget := 32 * len(order)
	for i, fresh := 0, true; i < len(order); {
		if fresh {
			places[i] = ends(order[:i], order[i], limit)
		}
		if fresh = len(places[i]) > 0; !fresh {
			if i--; i < 0 {
				return false
			}
			continue
		}
		order[i].offset, places[i] = places[i][0], places[i][1:]
		if budget--; budget < 0 {
			return false
		}
		i++
	}
	return true
}

// ends returns where l could stand below limit among those placed before it: at the
// lower and at the upper end of each gap that is large enough.
func ends(placed []*lifetime, l *lifetime, limit int64) []int64 {
	var busy []*lifetime
	for _, o := range placed {
		if o.last >= l.first {
			busy = append(busy, o)
		}
	}
	slices.SortFunc(busy, func(a, b *lifetime) int { return cmp.Compare(a.offset, b.offset) })
	var out []int64
	at := int64(0)
	for i := range len(busy) + 1 {
		end := limit
		if i < len(busy) {
			end = busy[i].offset
		}
		if end-at >= l.bytes {
			out = append(out, at)
			if end-at > l.bytes {
				out = append(out, end-l.bytes)
			}
		}
		at = end
		if i < len(busy) {
			at += busy[i].bytes
		}
	}
	return out
}

// fit places each lifetime in turn into the tightest gap between those placed
// before that live at the same time.
func fit(order []*lifetime) int64 {
	byWave := map[int][]*lifetime{} // placed, by each wave they live in
	size := int64(0)
	seen := map[*lifetime]bool{}
	for _, l := range order {
		var busy []*lifetime
		clear(seen)
		for w := l.first; w <= l.last; w++ {
			for _, o := range byWave[w] {
				if !seen[o] {
					seen[o] = true
					busy = append(busy, o)
				}
			}
		}
		slices.SortFunc(busy, func(a, b *lifetime) int {
			return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.bytes, b.bytes))
		})
		best, room, at := int64(-1), int64(0), int64(0)
		for _, o := range busy {
			if gap := o.offset - at; gap >= l.bytes && (best < 0 || gap < room) {
				best, room = at, gap
			}
			at = max(at, o.offset+o.bytes)
		}
		if best < 0 {
			best = at
		}
		l.offset = best
		size = max(size, best+l.bytes)
		for w := l.first; w <= l.last; w++ {
			byWave[w] = append(byWave[w], l)
		}
	}
	return size
}

// mostLive returns the largest sum of bytes that live in one wave.
func mostLive(lives []*lifetime) int64 {
	at := map[int]int64{}
	for _, l := range lives {
		for w := l.first; w <= l.last; w++ {
			at[w] += l.bytes
		}
	}
	most := int64(0)
	for _, n := range at {
		most = max(most, n)
	}
	return most
}
