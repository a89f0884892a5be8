package interp

import (
	"fmt"
	"maps"
	"slices"

	"foundry/ir"
	"foundry/ir/sym"
)

// State holds what survives a run: the caches, by the name of their param. All
// programs of one precision whose states have the same types may share it, such
// as a model's prefill and decode graphs; two runs at the same time may not.
type State struct {
	precision Precision
	caches    map[string]Tensor
}

// newCache returns a zero cache: wide storage, whose values its dtype can hold.
func (s *State) newCache(t ir.Type) Tensor {
	out := Tensor{DType: t.DType, Shape: t.Shape.Eval(sym.Env{})}
	if s.precision == Float64 {
		out.F64 = make([]float64, out.Len())
	} else {
		out.F32 = make([]float32, out.Len())
	}
	return out
}

// Names lists the states, sorted.
func (s *State) Names() []string { return slices.Sorted(maps.Keys(s.caches)) }

// Tensor returns the named state. It shares the state's storage.
func (s *State) Tensor(name string) (Tensor, error) {
	t, ok := s.caches[name]
	if !ok {
		return Tensor{}, fmt.Errorf("no state %q", name)
	}
	return t, nil
}

// Set copies values, row-major, into the named state, rounded to its dtype.
func (s *State) Set(name string, values []float32) error {
	t, err := s.Tensor(name)
	if err != nil {
		return err
	}
	if len(values) != t.Len() {
		return fmt.Errorf("state %q has %d elements, have %d", name, t.Len(), len(values))
	}
	for i, v := range values {
		v = round(t.DType, v)
		if s.precision == Float64 {
			t.F64[i] = float64(v)
		} else {
			t.F32[i] = v
		}
	}
	return nil
}

// Clone returns a copy that shares nothing with s: the start of a second session
// on the same prefix.
func (s *State) Clone() *State {
	out := &State{precision: s.precision, caches: make(map[string]Tensor, len(s.caches))}
	for name, t := range s.caches {
		t.F32, t.F64 = slices.Clone(t.F32), slices.Clone(t.F64)
		out.caches[name] = t
	}
	return out
}

func (s *State) check(name string, want ir.Type, p Precision) error {
	if s == nil {
		return fmt.Errorf("the graph has the state %q, the run has none", name)
	}
	if s.precision != p {
		return fmt.Errorf("the state holds %s values, the program %s", s.precision, p)
	}
	t, err := s.Tensor(name)
	if err != nil {
		return err
	}
	return t.check(fmt.Sprintf("state %q", name), want, sym.Env{})
}
