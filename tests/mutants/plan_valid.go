package main

import (
	"fmt"
	"math"
	"reflect"
	"slices"

	"foundry/ir/sym"
	"foundry/lower/plan"
)

// Some changes leave a plan that is as good as the one before: they take more memory
// than is needed, or say the same in other words. They are variations, not mistakes, and
// are never drawn. Each case says why no driver can tell.

// harmless reports whether the site may as well hold x.
func (s site) harmless(x reflect.Value) bool {
	switch s.field {
	case "Plan.ArenaBytes", "ThreadgroupArg.Bytes", "Binding.Bytes": // more memory, or a wider claim on it
		return x.Int() > s.value.Int()
	case "Model.Context": // shorter sequences in the same caches
		return x.Int() < s.value.Int() && x.Int() >= int64(s.plan.Model.Chunk)
	case "Entry.Chain": // any number of runs may share a command buffer
		return x.Int() >= 0 && x.Int() <= 64
	case "WeightRecipe.Kind": // what is stored in the buffer's type converts to itself
		return s.value.String() == "as_stored" && x.String() == "convert"
	case "GridDim.N":
		g := s.owner.Interface().(plan.GridDim)
		to := g
		to.N = x.Interface().(sym.Dim)
		return s.sameCounts(g, to)
	case "GridDim.Div":
		g := s.owner.Interface().(plan.GridDim)
		to := g
		to.Div = x.Int()
		return s.sameCounts(g, to)
	}
	return false
}

// equal is the argument why no run can tell that the site holds x, once the checks have
// accepted the plan; "" where there is none.
func (s site) equal(x reflect.Value) string {
	switch s.field {
	case "Buffer.Offset":
		return "a transient may lie wherever CheckHazards finds no conflict and no barrier too many: it proves both from bytes, whoever chose the places"
	case "Buffer.Values[]":
		// the constants are angles a position; 2^-12 squared is far below what rows of logits are held to
		if b, ok := s.owner.Interface().(plan.Buffer); ok && b.Name == "rope.inv_freq" && math.Abs(x.Float()-s.value.Float())*float64(s.plan.Model.Context) < 0x1p-12 {
			return "at the context's last position the angle moves by less than 2^-12, and what it turns by an NMSE below 2^-24"
		}
	}
	return ""
}

// sameCounts reports whether two axes have the same threadgroups in every run.
func (s site) sameCounts(a, b plan.GridDim) bool {
	if b.Div < 1 {
		return false
	}
	for t := s.entry.TMin; t <= s.entry.TMax; t++ {
		for p := range s.plan.MaxP(s.entry, t) + 1 {
			if e := (sym.Env{T: t, P: p}); a.Eval(e) != b.Eval(e) {
				return false
			}
		}
	}
	return true
}

// harmlessSwap reports whether elements i and i+1 of an array may change places.
func (s site) harmlessSwap(i int) bool {
	switch list := s.value.Interface().(type) {
	case [3]plan.GridDim:
		return s.sameCounts(list[i], list[i+1])
	case [3]int: // only the place in three dimensions depends on which axis has the threads
		return !slices.Contains(s.owner.Interface().(plan.Kernel).Builtins, plan.ThreadPosition)
	}
	return false
}

// spare reports whether element i of a list may be missing, or stand twice: drawing
// tokens on the device is an offer, and only the bytes count of a shape that no driver reads.
func (s site) spare(i int) bool {
	switch list := s.value.Interface().(type) {
	case []plan.Entry:
		return list[i].Role == plan.Sample
	case []sym.Dim:
		b, ok := s.owner.Interface().(plan.Buffer)
		return ok && (s.unread() || b.Cache && len(list) > 2) && list[i] == sym.Const(1)
	}
	return false
}

// unread reports whether the site is the shape of a buffer that no driver looks into.
func (s site) unread() bool {
	b, ok := s.owner.Interface().(plan.Buffer)
	return ok && s.field == "Buffer.Shape" && (b.Class == plan.Transient || b.Class == plan.Prepared || b.Class == plan.Constant)
}

// ordered reports whether it means something that element i of a list stands before the
// next. Two dispatches with no barrier between are independent, entries and results are
// found by role, and the order of ends and of names of a template says nothing.
func (s site) ordered(i int) bool {
	switch list := s.value.Interface().(type) {
	case []plan.Step:
		return list[i].Dispatch == nil || list[i+1].Dispatch == nil
	case []int32, []plan.Result, []plan.NamedToken, []plan.Entry:
		return false
	}
	return !s.unread() && fmt.Sprint(s.value.Index(i).Interface()) != fmt.Sprint(s.value.Index(i+1).Interface())
}
