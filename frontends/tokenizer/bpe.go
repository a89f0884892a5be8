package tokenizer

import "fmt"

// merger holds the merges by the ids of the two tokens they join.
type merger struct {
	byteID [256]int32
	merges map[uint64]mergeTo // ranks by left id << 32 | right id
}

type mergeTo struct{ rank, id int32 }

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

// newMerger resolves the merges, in order of rank, against the vocabulary.
func newMerger(ids map[string]int32, merges [][2]string) (merger, error) {
	m := merger{merges: make(map[uint64]mergeTo, len(merges))}
	for b := range 256 {
		id, ok := ids[string([]byte{byte(b)})]
		if !ok {
			return m, fmt.Errorf("the vocabulary has no token for byte %#02x", b)
		}
		m.byteID[b] = id
	}
	for rank, pair := range merges {
		left, right := unspell(pair[0]), unspell(pair[1])
		a, okA := ids[left]
		b, okB := ids[right]
		both, ok := ids[left+right]
		if !okA || !okB || !ok {
			return m, fmt.Errorf("merge %d joins %q and %q, but the vocabulary lacks one of them or the result", rank, pair[0], pair[1])
		}
		if _, twice := m.merges[pairKey(a, b)]; !twice { // the first, lowest rank counts
			m.merges[pairKey(a, b)] = mergeTo{int32(rank), both}
		}
	}
	return m, nil
}

// mergeWork is scratch space, kept between pieces.
type mergeWork struct {
	symbols []symbol
	heap    []candidate
}

// symbol is a token of the piece so far, in a doubly linked list.
type symbol struct {
	id         int32 // the token; -1 once merged into its left neighbour
	prev, next int32 // indices of symbols; -1 at the ends
}

// candidate is a merge that was possible when it was found.
type candidate struct {
	mergeTo
	at          int32 // index of the left symbol
	left, right int32 // the ids then; the candidate is stale once they differ
}

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.at < d.at
}

// merge appends the ids of piece to out: always the pair of lowest rank first,
// the leftmost among equals, in O(n log n).
func (m *merger) merge(out []int32, piece string, w *mergeWork) []int32 {
	w.symbols, w.heap = w.symbols[:0], w.heap[:0]
	for i := range len(piece) {
		w.symbols = append(w.symbols, symbol{m.byteID[piece[i]], int32(i - 1), int32(i + 1)})
	}
	if len(piece) == 0 {
		return out
	}
	w.symbols[len(piece)-1].next = -1
	for i := range len(piece) - 1 {
		m.consider(w, int32(i))
	}
	for len(w.heap) > 0 {
		c := w.pop()
		left := &w.symbols[c.at]
		if left.id != c.left || left.next < 0 || w.symbols[left.next].id != c.right {
			continue
		}
		right := &w.symbols[left.next]
		left.id, left.next, right.id = c.id, right.next, -1
		if left.next >= 0 {
			w.symbols[left.next].prev = c.at
			m.consider(w, c.at)
		}
		if left.prev >= 0 {
			m.consider(w, left.prev)
		}
	}
	for i := int32(0); i >= 0; i = w.symbols[i].next {
		out = append(out, w.symbols[i].id)
	}
	return out
}

// consider enters the merge of symbol at and its right neighbour, if there is one.
func (m *merger) consider(w *mergeWork, at int32) {
	left, right := w.symbols[at].id, w.symbols[w.symbols[at].next].id
	if to, ok := m.merges[pairKey(left, right)]; ok {
		w.push(candidate{to, at, left, right})
	}
}

// push and pop keep a binary heap; container/heap would box every candidate.
func (w *mergeWork) push(c candidate) {
	w.heap = append(w.heap, c)
	h := w.heap
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h[i].before(h[parent]) {
			return
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

func (w *mergeWork) pop() candidate {
	top, last := w.heap[0], len(w.heap)-1
	w.heap[0] = w.heap[last]
	w.heap = w.heap[:last]
	h := w.heap
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h[child].before(h[least]) {
				least = child
			}
		}
		if least == i {
			return top
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
