package msl

// Reads calls f with every variable that stands in v, once for each place.
func (v *Value) Reads(f func(variable *Value)) {
	if v == nil {
		return
	}
	if v.op == opVariable {
		f(v)
	}
	for _, o := range v.of {
		o.Reads(f)
	}
}

// Reads calls f with every variable that stands in list, but where it is declared.
func Reads(list []Statement, f func(variable *Value)) {
	for _, s := range list {
		switch s := s.(type) {
		case *Declare:
			s.Type.Reads(f)
			for _, d := range s.Of {
				d.Size.Reads(f)
				d.Value.Reads(f)
			}
		case *Assign:
			s.To.Reads(f)
			s.Value.Reads(f)
		case *Do:
			s.Call.Reads(f)
		case *If:
			for _, b := range s.Branches {
				b.Condition.Reads(f)
				Reads(b.Body, f)
			}
		case *For:
			s.From.Reads(f)
			s.Below.Reads(f)
			s.Step.Reads(f)
			Reads(s.Body, f)
		case *Block:
			Reads(s.Body, f)
		case *Row:
			Reads(s.Of, f)
		case *Ready:
			Reads(s.Before, f)
			Reads(s.Behind, f)
		}
	}
}
