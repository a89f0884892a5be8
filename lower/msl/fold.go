package msl

import "slices"

// Fold simplifies a function's body: values by the rules of rules.go, loops of one round and
// of none, and declarations that nothing reads. The meaning stays to the bit: of floats
// nothing is folded. taken reports whether a name stands for an argument of the function.
func Fold(list []Statement, taken func(name string) bool) []Statement {
	f := folder{taken: taken, constants: map[*Value]int64{}, declared: map[string]int{}}
	f.look(list)
	list = f.list(list)
	return drop(list, map[*Value]bool{})
}

type folder struct {
	taken     func(name string) bool
	constants map[*Value]int64 // values of declarations that are constant expressions
	declared  map[string]int   // how often a name is declared
}

// look notes what is declared.
func (f *folder) look(list []Statement) {
	for _, s := range list {
		if d, ok := s.(*Declare); ok {
			for _, d := range d.Of {
				f.declared[d.Variable.text]++
			}
			continue
		}
		for _, body := range bodies(s) {
			f.look(*body)
		}
	}
}

// bodies are the lists within s.
func bodies(s Statement) []*[]Statement {
	switch s := s.(type) {
	case *If:
		out := make([]*[]Statement, len(s.Branches))
		for i := range s.Branches {
			out[i] = &s.Branches[i].Body
		}
		return out
	case *For:
		return []*[]Statement{&s.Body}
	case *Block:
		return []*[]Statement{&s.Body}
	case *Row:
		return []*[]Statement{&s.Of}
	case *Ready:
		return []*[]Statement{&s.Before, &s.Behind}
	}
	return nil
}

// each calls f for the place of every value of s itself.
func each(s Statement, f func(v **Value)) {
	switch s := s.(type) {
	case *Declare:
		f(&s.Type)
		for i := range s.Of {
			f(&s.Of[i].Size)
			f(&s.Of[i].Value)
		}
	case *Assign:
		f(&s.To)
		f(&s.Value)
	case *Do:
		f(&s.Call)
	case *If:
		for i := range s.Branches {
			f(&s.Branches[i].Condition)
		}
	case *For:
		f(&s.From)
		f(&s.Below)
		f(&s.Step)
	}
}

// list folds statements; the result may take the place of list.
func (f *folder) list(list []Statement) []Statement {
	out := list[:0:0]
	for _, s := range list {
		each(s, foldIn)
		if d, ok := s.(*Declare); ok && d.Type.op == opConstexpr {
			for _, d := range d.Of {
				if d.Value.op == opNumber {
					f.constants[d.Variable] = d.Value.n
				}
			}
		}
		if loop, ok := s.(*For); ok {
			if rounds, known := f.rounds(loop); known && rounds <= 1 {
				if n := len(out); n > 0 {
					if _, ok := out[n-1].(*Unroll); ok {
						out = out[:n-1]
					}
				}
				if rounds == 1 {
					out = append(out, f.unrolled(loop)...)
				}
				continue
			}
		}
		for _, body := range bodies(s) {
			*body = f.list(*body)
		}
		out = append(out, s)
	}
	return out
}

func foldIn(v **Value) { *v = (*v).fold() }

// rounds is how often a loop runs.
func (f *folder) rounds(s *For) (n int64, known bool) {
	from, ok := f.constant(s.From)
	if !ok {
		return 0, false
	}
	below, ok := f.constant(s.Below)
	if !ok {
		return 0, false
	}
	step := int64(1)
	if s.Step != nil {
		if step, ok = f.constant(s.Step); !ok {
			return 0, false
		}
	}
	return max(0, (below-from+step-1)/step), true
}

// constant is the number that v is known to have.
func (f *folder) constant(v *Value) (n int64, ok bool) {
	switch v.op {
	case opNumber:
		return v.n, true
	case opVariable:
		n, ok = f.constants[v]
		return n, ok
	case opBinary:
		a, okA := f.constant(v.of[0])
		b, okB := f.constant(v.of[1])
		if okA && okB {
			return compute(v.operator, a, b)
		}
	}
	return 0, false
}

// unrolled is the body of a loop in its one round: in braces where a name of its own stands
// for something else, too.
func (f *folder) unrolled(s *For) []Statement {
	own := false
	for _, x := range s.Body {
		if d, ok := x.(*Declare); ok {
			own = own || slices.ContainsFunc(d.Of, func(d Declared) bool { return f.declared[d.Variable.text] > 1 || f.taken(d.Variable.text) })
		}
	}
	put(s.Body, s.Variable, s.From)
	body := f.list(s.Body)
	if own {
		return []Statement{&Block{Body: body}}
	}
	return body
}

// put has a value stand for a variable.
func put(list []Statement, variable, value *Value) {
	for _, s := range list {
		each(s, func(v **Value) { *v = (*v).with(variable, value) })
		for _, body := range bodies(s) {
			put(*body, variable, value)
		}
	}
}

// with is v with a value for a variable.
func (v *Value) with(variable, value *Value) *Value {
	switch v {
	case nil:
		return nil
	case variable:
		return value
	}
	return v.rebuilt(func(o *Value) *Value { return o.with(variable, value) })
}

// rebuilt is v of operands that f makes of its own.
func (v *Value) rebuilt(f func(*Value) *Value) *Value {
	for i, o := range v.of {
		n := f(o)
		if n == o {
			continue
		}
		out := *v
		out.of = slices.Clone(v.of)
		out.of[i] = n
		for j := i + 1; j < len(out.of); j++ {
			out.of[j] = f(v.of[j])
		}
		return &out
	}
	return v
}

// drop leaves out declarations that nothing behind them reads, and what is empty for it;
// read holds what statements behind list read.
func drop(list []Statement, read map[*Value]bool) []Statement {
	mark := func(v *Value) { v.Reads(func(v *Value) { read[v] = true }) }
	kept := list[:0:0]
	for _, s := range slices.Backward(list) {
		switch s := s.(type) {
		case *Declare:
			var of []Declared
			for _, d := range slices.Backward(s.Of) { // one may read those before it
				if read[d.Variable] || !d.Value.pure() {
					of = append(of, d)
					delete(read, d.Variable)
					mark(d.Size)
					mark(d.Value)
				}
			}
			if len(of) == 0 {
				continue
			}
			slices.Reverse(of)
			mark(s.Type)
			if len(of) < len(s.Of) { // it may stand elsewhere, too
				kept = append(kept, &Declare{Type: s.Type, Of: of, Note: s.Note})
				continue
			}
		default:
			for _, body := range slices.Backward(bodies(s)) {
				*body = drop(*body, read)
			}
			if empty(s) {
				continue
			}
			each(s, func(v **Value) { mark(*v) })
		}
		kept = append(kept, s)
	}
	slices.Reverse(kept)
	return kept
}

// empty reports whether s is branches that do nothing.
func empty(s Statement) bool {
	branches, ok := s.(*If)
	if !ok {
		return false
	}
	for _, b := range branches.Branches {
		if len(b.Body) > 0 || !b.Condition.pure() {
			return false
		}
	}
	return true
}
