package viz

import (
	"fmt"
	"slices"
	"strings"
)

// collapse replaces each longest run of consecutive equal layers by its first
// layer. Two layers are equal when they hold the same units in the same order,
// joined in the same way, and each takes from the one before what the next takes
// from it.
func (s *scene) collapse() {
	layers := s.layers()
	for first := 0; first < len(layers); {
		last := first
		for last+1 < len(layers) && s.equal(layers, first, last+1) {
			last++
		}
		if last > first {
			s.fold(layers[first : last+1])
		}
		first = last + 1
	}
}

// layer is the units of one layer, and what its parts are called from inside.
type layer struct {
	number   int
	units    []*unit
	position map[*unit]int
	sketch   string    // all that equal layers share
	outer    []operand // values that it takes from elsewhere and calls by no name of its own, in order of first use
}

// layers sketches each layer of the scene, in order of first appearance.
func (s *scene) layers() []*layer {
	var all []*layer
	byNumber := map[int]*layer{}
	for _, u := range s.units {
		if u.layer < 0 {
			continue
		}
		l := byNumber[u.layer]
		if l == nil {
			l = &layer{number: u.layer, position: map[*unit]int{}}
			byNumber[u.layer] = l
			all = append(all, l)
		}
		l.position[u] = len(l.units)
		l.units = append(l.units, u)
	}
	returned := map[*unit]string{}
	for _, r := range s.returns {
		if u := r.from.from; u != nil {
			returned[u] += fmt.Sprintf(" %d=%s", r.from.out, anyLayer(r.name, u.layer))
		}
	}
	for _, l := range all {
		var b strings.Builder
		for _, u := range l.units {
			fmt.Fprintf(&b, "%s wave+%d returns%s\n", u.key, u.wave-l.units[0].wave, returned[u])
			for _, op := range u.in {
				fmt.Fprintf(&b, "  %s -> %d %s\n", l.name(op), op.box, op.text)
			}
		}
		l.sketch = b.String()
	}
	return all
}

// name calls an operand as equal layers call it alike.
func (l *layer) name(op operand) string {
	if op.par != nil {
		if name := anyLayer(op.par.name, l.number); name != op.par.name {
			return "param " + name + " " + op.par.text
		}
	}
	if at, inside := l.position[op.from]; inside {
		return fmt.Sprintf("unit %d.%d", at, op.out)
	}
	for i, o := range l.outer {
		if o.from == op.from && o.out == op.out && o.par == op.par {
			return fmt.Sprintf("outer %d", i)
		}
	}
	l.outer = append(l.outer, op)
	return fmt.Sprintf("outer %d", len(l.outer)-1)
}

// equal reports whether layers[at] may join the run that starts at layers[first].
func (s *scene) equal(layers []*layer, first, at int) bool {
	a, b := layers[first], layers[at]
	if a.sketch != b.sketch || b.number != layers[at-1].number+1 {
		return false
	}
	for i := range b.outer {
		// The second layer says where the run takes operand i from: the same
		// place in the layer before, or the same value outside as the first.
		pattern, have := carried(layers, first+1, i), carried(layers, at, i)
		if have != pattern || have == "" && (b.outer[i].from != a.outer[i].from || b.outer[i].par != a.outer[i].par) {
			return false
		}
	}
	return true
}

// carried says which place of layers[at-1] makes outer operand i of layers[at];
// empty when it comes from further away.
func carried(layers []*layer, at, i int) string {
	op := layers[at].outer[i]
	if place, ok := layers[at-1].position[op.from]; ok {
		return fmt.Sprintf("%d.%d", place, op.out)
	}
	return ""
}

// fold keeps the first layer of a run for all of it: later uses of the last
// layer's values start there, and what each layer hands to the next becomes an
// edge back.
func (s *scene) fold(layers []*layer) {
	keep, last := layers[0], layers[len(layers)-1]
	r := &run{keep.number, last.number}
	gone := map[*unit]*unit{} // to its counterpart in the layer that stays
	for _, l := range layers[1:] {
		for _, u := range l.units {
			gone[u] = keep.units[l.position[u]]
		}
	}
	for at, u := range keep.units {
		u.run = r
		for _, op := range layers[1].units[at].in {
			if stay := gone[op.from]; op.from != nil && stay == nil {
				if place, carried := keep.position[op.from]; carried {
					op.from, op.loop = keep.units[place], true
					u.in = append(u.in, op)
				}
			}
		}
		renameParams(u)
		renameBoxes(u, layers, at)
	}
	var units []*unit
	for _, u := range s.units {
		if gone[u] != nil {
			continue
		}
		for i := range u.in {
			if stay := gone[u.in[i].from]; stay != nil {
				u.in[i].from = stay
			}
		}
		units = append(units, u)
	}
	s.units = units
	var returns []result
	for _, ret := range s.returns {
		u := ret.from.from
		stay := gone[u]
		switch {
		case stay != nil && anyLayer(ret.name, u.layer) != ret.name:
			continue // the kept layer returns it for all
		case stay != nil:
			ret.from.from = stay
		case u != nil && u.run == r:
			ret.name = anyLayer(ret.name, u.layer)
		}
		returns = append(returns, ret)
	}
	s.returns = returns
}

// renameParams gives the layer's own params the name they have in every layer.
func renameParams(u *unit) {
	for i := range u.in {
		if p := u.in[i].par; p != nil {
			if name := anyLayer(p.name, u.layer); name != p.name {
				u.in[i].par = &param{kind: p.kind, name: name, text: p.text}
			}
		}
	}
}

// renameBoxes gives the operations inside a unit the names they have in every
// layer. A region may hold one of the next layer's, which the last layer calls
// otherwise: then both names stand there.
func renameBoxes(u *unit, layers []*layer, at int) {
	if !u.fused {
		return
	}
	for i := range u.boxes {
		var names []string
		for _, l := range layers {
			name := anyLayer(inLayer(l.units[at].boxes[i].label, l.number), l.number)
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		u.boxes[i].label = strings.Join(names, " | ")
	}
}
