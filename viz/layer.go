package viz

import "fmt"

// cutLayer keeps one layer: what it takes from other units and what they take
// from it become stubs.
func (s *scene) cutLayer(number int) error {
	var kept []*unit
	first, last := -1, -1
	for _, u := range s.units {
		if u.layer >= 0 && first < 0 {
			first = u.layer
		}
		last = max(last, u.layer)
		if u.layer == number {
			kept = append(kept, u)
		}
	}
	switch {
	case last < 0:
		return fmt.Errorf("there is no layer %d: no label starts with layers.N", number)
	case len(kept) == 0:
		return fmt.Errorf("there is no layer %d: the layers are %d to %d", number, first, last)
	}
	mine := map[*unit]bool{}
	for _, u := range kept {
		mine[u] = true
	}
	var returns []result
	for _, u := range s.units {
		for i := range u.in {
			op := &u.in[i]
			switch {
			case mine[u] && op.from != nil && !mine[op.from]:
				op.stub = true
			case !mine[u] && mine[op.from]:
				returns = append(returns, result{name: u.name, from: *op, stub: true})
			}
		}
	}
	for _, r := range s.returns {
		if mine[r.from.from] {
			returns = append(returns, r)
		}
	}
	s.title += fmt.Sprintf(" · layer %d", number)
	s.units, s.returns = kept, returns
	return nil
}
