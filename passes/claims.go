package passes

import (
	"encoding/binary"
	"slices"
)

// territory is a graph before its fusions, and what each of them would take of it if it were
// the only one.
type territory struct {
	view    *flatGraph
	fusions []parsedChoice
	places  [][]place // each fusion's, in the order of their anchors
}

// place is where a fusion can form a region: what its forms would take there, the largest
// first, each as indices of operations.
type place [][]int

// region is one that stands in a graph.
type region struct {
	by     int // the fusion that formed it; ofGraph: none did
	size   int // operations in it; 0: another has taken it whole
	pinned bool
}

const ofGraph = -1

// holding says which region holds each operation of a territory.
type holding struct {
	of      []int // the region by index of the operation; 0: none
	regions []region
}

// claims finds what each of fusions would take of the run's graph by itself.
func (r *run) claims(fusions []parsedChoice) *territory {
	t := &territory{view: r.view(), fusions: fusions, places: make([][]place, len(fusions))}
	for i, f := range fusions {
		r.call = f.call
		p := f.call.Pass.fusion
		forms := p.allowed(f.call)
		for _, anchor := range p.anchors(t.view) {
			var at place
			for _, form := range forms {
				s, done, _ := r.locate(p, form, anchor, true)
				if s == nil || done {
					continue
				}
				node, err := s.region(r.graph)
				if err != nil || r.lowerable(node) != nil {
					continue
				}
				members := make([]int, len(s.members))
				for j, o := range s.members {
					members[j] = o.index
				}
				at = append(at, members)
			}
			if at != nil {
				t.places[i] = append(t.places[i], at)
			}
		}
	}
	return t
}

// unclaimed is what the graph's own regions hold.
func (t *territory) unclaimed() holding {
	h := holding{make([]int, len(t.view.ops)), make([]region, 1)}
	for _, o := range t.view.ops {
		members := t.view.in[o.top]
		if members == nil || h.of[o.index] != 0 {
			continue
		}
		for _, m := range members {
			h.of[m.index] = len(h.regions)
		}
		h.regions = append(h.regions, region{ofGraph, len(members), o.top.Attr.Kernel != ""})
	}
	return h
}

// take returns who holds what once fusion i has run: at each place it has the largest of
// its forms of which no other region holds a part.
func (t *territory) take(h holding, i int) holding {
	call := t.fusions[i].call
	taken := false
	for _, at := range t.places[i] {
		for _, claim := range at {
			inside, free := h.inside(claim, func(r region) bool { return call.Pass.fusion.Grow && r.by == i })
			if free && len(inside) == 1 && h.regions[inside[0]].size >= len(claim) {
				break // they stand in one region
			}
			if !free {
				continue
			}
			if !taken {
				h, taken = holding{slices.Clone(h.of), slices.Clone(h.regions)}, true
			}
			h.form(claim, inside, region{by: i, pinned: call.option("kernel") != ""})
			break
		}
	}
	return h
}

// inside lists the regions that hold operations of a claim; free reports whether they can
// be taken: they lie in it whole, or grow.
func (h *holding) inside(claim []int, grows func(region) bool) (inside []int, free bool) {
	for _, o := range claim {
		n := h.of[o]
		if n == 0 || slices.Contains(inside, n) {
			continue
		}
		inside = append(inside, n)
		shared := 0
		for _, o := range claim {
			if h.of[o] == n {
				shared++
			}
		}
		if r := h.regions[n]; r.pinned || shared != r.size && !grows(r) {
			return inside, false
		}
	}
	return inside, true
}

// form makes one region of a claim and of those that it takes whole.
func (h *holding) form(claim, inside []int, r region) {
	for _, n := range inside {
		for o, have := range h.of {
			if have == n {
				h.of[o] = len(h.regions)
			}
		}
		h.regions[n].size = 0
	}
	for _, o := range claim {
		h.of[o] = len(h.regions)
	}
	for _, n := range h.of {
		if n == len(h.regions) {
			r.size++
		}
	}
	h.regions = append(h.regions, r)
}

// holds reports whether fusion i has a region.
func (h *holding) holds(i int) bool {
	return slices.ContainsFunc(h.regions, func(r region) bool { return r.by == i && r.size > 0 })
}

// appendHeld appends what the regions of h are, whoever formed them: calls of one pass form
// the same with the same words of a kernel.
func (t *territory) appendHeld(b []byte, h holding) []byte {
	numbers, next := make([]int64, len(h.regions)), int64(0)
	for _, n := range h.of {
		if n > 0 && numbers[n] == 0 {
			next++
			numbers[n] = next
			b = binary.AppendVarint(b, -1-int64(t.like(h.regions[n].by)))
		}
		b = binary.AppendVarint(b, numbers[n])
	}
	return append(b, '\n')
}

// like is the first of the fusions that forms the same regions of the same operations as
// one does; 0 stands for the graph itself.
func (t *territory) like(by int) int {
	if by == ofGraph {
		return 0
	}
	own := t.fusions[by].call
	return 1 + slices.IndexFunc(t.fusions, func(f parsedChoice) bool {
		return f.call.Pass == own.Pass && f.call.option("kernel") == own.option("kernel")
	})
}
