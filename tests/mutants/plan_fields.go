package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// forPeople are fields of plans that docs/plan-format.md lets a driver skip, with the
// reason. All others are mutated, so a new field is until it stands here.
var forPeople = map[string]string{
	"Plan.Compiler": "who wrote it", "Plan.Edited": "a mark that seal leaves", "Plan.Decisions": "the log of fusions",
	"Model.Name": "a name", "Kernel.Main": "statistics", "Kernel.Stages": "statistics; the gate reads the text", "Kernel.Params": "statistics",
	"Options.Target": "what was asked for", "Options.Variant": "what was asked for", "Options.Passes": "what was asked for",
	"Options.PrefillPasses": "what was asked for", "Options.Attention": "what was asked for", "Options.AttentionChosen": "what was asked for",
	"Options.ShadersFrom": "what was asked for", "Options.Weights": "what was asked for", "Options.Cache": "what was asked for",
	"Options.CommandBuffers": "what was asked for",
	"Entry.Modelled":         "a prediction", "Dispatch.Label": "captures", "Dispatch.Nodes": "captures", "Dispatch.Layer": "captures",
	"Dispatch.Moved": "statistics", "Dispatch.Flops": "statistics",
	"Entry.Name": "drivers find entries by role", "Buffer.Name": "drivers find buffers by role", "Result.Name": "drivers find results by role of their buffer",
}

// sealed are fields that Save and seal compute; a change of one is a change of the file.
var sealed = []string{"Plan.Schema", "Plan.Hash", "Kernel.File", "Kernel.SHA256"}

// words are what fields of enumerations may hold.
var words = map[reflect.Type][]string{
	reflect.TypeFor[plan.Access]():     {"read", "write", "readwrite"},
	reflect.TypeFor[plan.Class]():      {"weight", "constant", "prepared", "input", "output", "state", "transient"},
	reflect.TypeFor[plan.BufferRole](): {"", "step", "ids", "logits", "token", "history", "ranges"},
	reflect.TypeFor[plan.EntryRole]():  {"", "prefill", "decode", "sample", "prepare"},
	reflect.TypeFor[plan.Builtin]():    builtins(),
}

func builtins() (out []string) {
	for _, b := range plan.BuiltinArguments() {
		out = append(out, string(b.Builtin))
	}
	return out
}

// site is one value of a plan that can be changed.
type site struct {
	field string // Binding.Offset
	path  string // Entries[0].Steps[3].Dispatch.Bind[1].Offset
	value reflect.Value
	owner reflect.Value // the struct that it is a field of
	entry *plan.Entry   // the entry that it is of; nil for none
	plan  *plan.Plan
}

// planSites lists what a driver would notice of p, by field.
func planSites(p *plan.Plan) map[string][]site {
	out := map[string][]site{}
	var walk func(v, owner reflect.Value, field, path string, e *plan.Entry)
	walk = func(v, owner reflect.Value, field, path string, e *plan.Entry) {
		if field != "" && forPeople[field] == "" && !slices.Contains(sealed, field) {
			if leaf(v) || v.Kind() == reflect.Slice || v.Kind() == reflect.Array || v.Kind() == reflect.Pointer && !v.IsNil() {
				out[field] = append(out[field], site{field, path, v, owner, e, p})
			}
		}
		switch {
		case leaf(v):
		case v.Kind() == reflect.Pointer && !v.IsNil():
			walk(v.Elem(), v, "", path, e)
		case v.Kind() == reflect.Slice || v.Kind() == reflect.Array:
			for i := range v.Len() {
				under := ""
				if k := v.Index(i).Kind(); k != reflect.Struct || leaf(v.Index(i)) {
					under = field + "[]"
				}
				walk(v.Index(i), owner, under, fmt.Sprintf("%s[%d]", path, i), e)
			}
		case v.Kind() == reflect.Struct:
			if v.Type() == reflect.TypeFor[plan.Entry]() {
				e = v.Addr().Interface().(*plan.Entry)
			}
			for i := range v.NumField() {
				name := v.Type().Field(i).Name
				if full := v.Type().Name() + "." + name; forPeople[full] == "" && !slices.Contains(sealed, full) {
					walk(v.Field(i), v, full, strings.TrimPrefix(path+"."+name, "."), e)
				}
			}
		}
	}
	walk(reflect.ValueOf(p).Elem(), reflect.Value{}, "", "", nil)
	return out
}

// leaf reports whether v is changed as a whole.
func leaf(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct:
		return v.Type() == reflect.TypeFor[sym.Dim]()
	case reflect.Slice, reflect.Array, reflect.Pointer:
		return false
	}
	return true
}

// change is one thing done to a plan, and how to take it back.
type change struct {
	what  string
	make  func() (undo func())
	equal string // the argument, of a change that no run can tell once the checks have accepted it
}

// to is the change of a site to another value.
func (s site) to(v reflect.Value) change {
	return change{fmt.Sprintf("%s: %s becomes %s", s.path, show(s.value), show(v)), func() func() {
		before := reflect.New(s.value.Type()).Elem()
		before.Set(s.value)
		s.value.Set(v)
		return func() { s.value.Set(before) }
	}, s.equal(v)}
}

func show(v reflect.Value) string {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return "nothing"
	}
	text := fmt.Sprintf("%v", v.Interface())
	if len(text) > 60 {
		text = text[:60] + "..."
	}
	return text
}

// ways lists how a site may be changed; others of its field lend their values.
func (s site) ways(others []site) (out []change) {
	seen := map[string]bool{fmt.Sprint(s.value.Interface()): true}
	add := func(v any) {
		x := reflect.ValueOf(v).Convert(s.value.Type())
		if !seen[fmt.Sprint(x.Interface())] && !s.harmless(x) {
			seen[fmt.Sprint(x.Interface())] = true
			out = append(out, s.to(x))
		}
	}
	switch x := s.value.Interface().(type) {
	case sym.Dim:
		for _, d := range []sym.Dim{{C: 1}, {C: -1}, {T: 1}, {T: -1}, {P: 1}, {C: x.C}, {C: x.C, T: x.T, P: x.P}, {C: -x.C / 2}} {
			add(x.Add(d))
		}
	case dtype.Type:
		for _, t := range dtype.AllButAffine() {
			add(t)
		}
	case string:
		if s.field == "Kernel.Source" {
			return nil // the other kind of mutants, msl
		}
		add("")
	}
	switch v := s.value; v.Kind() {
	case reflect.Int, reflect.Int32, reflect.Int64:
		for _, n := range []int64{v.Int() + 1, v.Int() - 1, 0, 2 * v.Int(), v.Int() / 2} {
			add(n)
		}
	case reflect.Float32:
		for _, f := range []float64{0, -v.Float(), 1.5 * v.Float(), v.Float() + 1} {
			add(f)
		}
	case reflect.Bool:
		add(!v.Bool())
	case reflect.Pointer:
		out = append(out, s.to(reflect.Zero(v.Type())))
	case reflect.Array:
		for i := range v.Len() - 1 {
			if fmt.Sprint(v.Index(i).Interface()) != fmt.Sprint(v.Index(i+1).Interface()) && !s.harmlessSwap(i) {
				out = append(out, s.swap(i))
			}
		}
	case reflect.Slice:
		out = append(out, s.lists()...)
	}
	for _, w := range words[s.value.Type()] {
		add(w)
	}
	if leaf(s.value) {
		for _, o := range others {
			add(o.value.Interface())
		}
	}
	return out
}

func (s site) swap(i int) change {
	return change{what: fmt.Sprintf("%s: elements %d and %d change places", s.path, i, i+1), make: func() func() {
		swap := reflect.Swapper(s.value.Slice(0, s.value.Len()).Interface())
		swap(i, i+1)
		return func() { swap(i, i+1) }
	}}
}

// lists are the changes of a list: an element dropped, doubled, two in each other's
// place. What counts steps is made right, so that it does not give the change away.
func (s site) lists() (out []change) {
	v := s.value
	for i := range v.Len() {
		if s.spare(i) {
			continue
		}
		dropped := reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v.Slice(0, i))
		dropped = reflect.AppendSlice(dropped, v.Slice(i+1, v.Len()))
		out = append(out, s.list(fmt.Sprintf("element %d is dropped", i), dropped, i, -1))
		doubled := reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()+1), v.Slice(0, i+1))
		doubled = reflect.AppendSlice(doubled, v.Slice(i, v.Len()))
		out = append(out, s.list(fmt.Sprintf("element %d stands twice", i), doubled, i, 1))
		if i+1 < v.Len() && s.ordered(i) {
			swapped := reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v)
			swapped.Index(i).Set(v.Index(i + 1))
			swapped.Index(i + 1).Set(v.Index(i))
			out = append(out, s.list(fmt.Sprintf("elements %d and %d change places", i, i+1), swapped, i, 0))
		}
	}
	return out
}

// list is the change of a list; more elements stand at i, or fewer.
func (s site) list(what string, v reflect.Value, i, more int) change {
	return change{what: s.path + ": " + what, make: func() func() {
		before := reflect.New(v.Type()).Elem()
		before.Set(s.value)
		s.value.Set(v)
		if s.field != "Entry.Steps" {
			return func() { s.value.Set(before) }
		}
		e := s.entry
		cut := e.CommandBuffers
		e.CommandBuffers = slices.Clone(cut)
		for c := range e.CommandBuffers {
			b := &e.CommandBuffers[c]
			if b.First > i {
				b.First += more
			}
			if b.Last > i {
				b.Last += more
			}
		}
		e.CommandBuffers = slices.DeleteFunc(e.CommandBuffers, func(c plan.CommandBuffer) bool { return c.First == c.Last })
		e.Steps = slices.Clone(e.Steps)
		wave := 0
		for j := range e.Steps {
			if d := e.Steps[j].Dispatch; d == nil {
				wave++
			} else if d.Wave != wave {
				again := *d
				again.Wave = wave
				e.Steps[j].Dispatch = &again
			}
		}
		return func() {
			s.value.Set(before)
			e.CommandBuffers = cut
		}
	}}
}
