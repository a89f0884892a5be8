package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

func (p *Plan) verifyEntries() error {
	names, written := map[string]bool{}, make([]bool, len(p.Buffers))
	for i := range p.Entries {
		e := &p.Entries[i]
		if !printable(e.Name) || names[e.Name] {
			return fmt.Errorf("entry %d: name %q is empty, not printable or a second one", i, e.Name)
		}
		names[e.Name] = true
		switch e.Role {
		case "":
		case Prefill, Decode, Sample:
			if first := slices.IndexFunc(p.Entries, func(o Entry) bool { return o.Role == e.Role && o.PMax == e.PMax }); first != i {
				return fmt.Errorf("entry %s: role %s, as entry %s has", e.Name, e.Role, p.Entries[first].Name)
			}
		default:
			return fmt.Errorf("entry %s: role %q, want prefill, decode, sample or none", e.Name, e.Role)
		}
		if err := p.verifyEntry(e, written); err != nil {
			return fmt.Errorf("entry %s: %w", e.Name, err)
		}
	}
	if err := p.verifyShort(); err != nil {
		return err
	}
	for i := range p.Buffers {
		if b := &p.Buffers[i]; b.Class == Output && !written[i] {
			return fmt.Errorf("output %s: no entry writes it", b.Name)
		}
	}
	return p.verifyPrepare(written)
}

// verifyShort checks entries that end before the context does: they are of role decode,
// and another goes on behind them from what they leave, so both write the same states.
func (p *Plan) verifyShort() error {
	main := p.EntryFor(Decode)
	for i := range p.Entries {
		e := &p.Entries[i]
		switch most := int64(p.Model.Context) - 2; {
		case e.PMax == 0:
			continue
		case e.Role != Decode || e.TMax != 1:
			return fmt.Errorf("entry %s: p_max %d, which only entries of role decode and T = 1 have", e.Name, e.PMax)
		case e.PMax < 0 || e.PMax > most:
			return fmt.Errorf("entry %s: p_max %d, want 1 to %d in a context of %d", e.Name, e.PMax, most, p.Model.Context)
		case main < 0:
			return fmt.Errorf("entry %s: p_max %d, and no entry of role decode goes on behind it", e.Name, e.PMax)
		}
		if !slices.Equal(p.leaves(e), p.leaves(&p.Entries[main])) {
			return fmt.Errorf("entry %s writes other states and outputs than entry %s, which goes on behind it", e.Name, p.Entries[main].Name)
		}
	}
	return nil
}

// leaves lists the buffers that a run of e writes and that outlive it.
func (p *Plan) leaves(e *Entry) []int {
	found := map[int]bool{}
	for _, s := range e.Steps {
		if s.Dispatch == nil {
			continue
		}
		for _, b := range s.Dispatch.Bind {
			if c := p.Buffers[b.Buffer].Class; b.Access.Writes() && (c == State || c == Output) {
				found[b.Buffer] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func (p *Plan) verifyEntry(e *Entry, written []bool) error {
	if err := e.verifyCommandBuffers(); err != nil {
		return err
	}
	corners := p.corners(e)
	wave, advanced := 0, ""
	live := p.newRanges(e)
	read := map[int]positions{} // by kernel: texts are long, and a layer's kernels are every layer's
	for i := range e.Steps {
		s := &e.Steps[i]
		if s.Barrier == (s.Dispatch != nil) {
			return fmt.Errorf("step %d is not one of barrier and dispatch", i)
		}
		if s.Barrier {
			wave++
			continue
		}
		d := s.Dispatch
		err := p.verifyDispatch(d, corners)
		if err == nil {
			err = p.verifyAxes(d, corners, read)
		}
		if err == nil && d.Wave != wave {
			err = fmt.Errorf("wave %d, but %d barriers stand before it", d.Wave, wave)
		}
		if err == nil {
			err = p.verifyRanges(d)
		}
		if err == nil {
			err = p.verifyContent(d, live)
		}
		if err == nil {
			err = p.verifyPosition(d, &advanced)
		}
		if err != nil {
			return fmt.Errorf("step %d, dispatch %q: %w", i, d.Label, err)
		}
	}
	here := map[int]bool{}
	for i := range e.Steps {
		if d := e.Steps[i].Dispatch; d != nil {
			for _, b := range d.Bind {
				if b.Access.Writes() {
					written[b.Buffer], here[b.Buffer] = true, true
				}
			}
		}
	}
	return p.verifyResults(e, here)
}

// verifyCommandBuffers checks that they cut the steps into consecutive runs.
func (e *Entry) verifyCommandBuffers() error {
	next := 0
	for i, c := range e.CommandBuffers {
		if c.First != next || c.Last <= c.First || c.Last > len(e.Steps) {
			return fmt.Errorf("command buffer %d is steps %d to %d, want from %d on, one at least, %d in all", i, c.First, c.Last, next, len(e.Steps))
		}
		next = c.Last
	}
	if next != len(e.Steps) || next == 0 {
		return fmt.Errorf("the command buffers hold %d of %d steps", next, len(e.Steps))
	}
	return nil
}

func (p *Plan) verifyDispatch(d *Dispatch, corners []sym.Env) error {
	if d.Label == "" {
		return errors.New("no label")
	}
	if d.Kernel < 0 || d.Kernel >= len(p.Kernels) {
		return fmt.Errorf("kernel %d of %d", d.Kernel, len(p.Kernels))
	}
	k := &p.Kernels[d.Kernel]
	if d.Layer < -1 || d.Layer >= max(p.Model.Layers, 1) {
		return fmt.Errorf("layer %d of %d", d.Layer, p.Model.Layers)
	}
	for axis, g := range d.Grid {
		if g.Div < 1 {
			return fmt.Errorf("grid axis %d divides by %d", axis, g.Div)
		}
		for _, env := range corners {
			// The quotient before rounding up, so that nothing can overflow.
			if n := g.N.Eval(env); n < 1 || (n-1)/g.Div+1 > maxGrid {
				return fmt.Errorf("grid axis %d, ceil((%s) / %d), at T=%d P=%d: want 1 to %d threadgroups", axis, g.N, g.Div, env.T, env.P, maxGrid)
			}
		}
	}
	for _, env := range corners {
		if d.Moved.Eval(env) < 0 || d.Flops.Eval(env) < 0 {
			return fmt.Errorf("negative bytes or operations at T=%d P=%d", env.T, env.P)
		}
	}
	if len(d.Bind) != len(k.Slots) {
		return fmt.Errorf("%d bindings, kernel %s has %d slots", len(d.Bind), k.Name, len(k.Slots))
	}
	for i := range d.Bind {
		if err := p.verifyBinding(&d.Bind[i], &k.Slots[i]); err != nil {
			return fmt.Errorf("kernel %s, slot %s: %w", k.Name, k.Slots[i].Name, err)
		}
		if c := p.Buffers[d.Bind[i].Buffer].Class; k.Main == WeightExpansion && d.Bind[i].Access.Reads() && c != Weight && c != Constant && c != Prepared {
			return fmt.Errorf("kernel %s, slot %s: reads a buffer of class %s; a %s reads nothing that a run writes", k.Name, k.Slots[i].Name, c, k.Main)
		}
	}
	return nil
}

func (p *Plan) verifyBinding(b *Binding, s *Slot) error {
	if b.Buffer < 0 || b.Buffer >= len(p.Buffers) {
		return fmt.Errorf("buffer %d of %d", b.Buffer, len(p.Buffers))
	}
	buf := &p.Buffers[b.Buffer]
	if b.Bytes <= 0 || b.Offset < 0 || b.Bytes > buf.Bytes || b.Offset > buf.Bytes-b.Bytes {
		return fmt.Errorf("%d bytes at %d, buffer %s has %d", b.Bytes, b.Offset, buf.Name, buf.Bytes)
	}
	if n := buf.DType.Bytes(1); !buf.DType.Quantised() && (b.Bytes%n != 0 || b.Offset%n != 0) {
		return fmt.Errorf("%d bytes at %d of buffer %s cut an element of %s", b.Bytes, b.Offset, buf.Name, buf.DType)
	}
	if b.Access != s.Access {
		return fmt.Errorf("access %q, the slot has %s", b.Access, s.Access)
	}
	if b.Access.Writes() && (buf.Class == Weight || buf.Class == Constant || buf.Class == Input) {
		return fmt.Errorf("writes the %s %s", buf.Class, buf.Name)
	}
	align, known := alignments[s.Type]
	if s.Space == "constant" {
		align, known = constantAlign, true
	}
	if known && b.Offset%align != 0 {
		return fmt.Errorf("offset %d of buffer %s, want a multiple of %d for %s %s", b.Offset, buf.Name, align, s.Space, s.Type)
	}
	if want := stepTypes[s.Type]; want > 0 && (buf.Role != StepBuffer || b.Bytes < want) {
		return fmt.Errorf("%d bytes of buffer %s, want the step's, of which a %s has %d", b.Bytes, buf.Name, s.Type, want)
	}
	return buf.holds(s.Type)
}

// stepTypes are the types of the step buffer and its beginning, with their bytes.
var stepTypes = map[string]int64{"Step": StepBytes, "Position": 4 * (StepS + 1)}

// element is the scalar's name in that of a vector, a packed or an atomic one.
func element(slotType string) string {
	return strings.TrimRight(strings.TrimPrefix(strings.TrimPrefix(slotType, "packed_"), "atomic_"), "234")
}

// elements are the dtypes that the scalar types of Metal read. Block formats are bytes.
var elements = map[string]func(dtype.Type) bool{
	"float":  func(t dtype.Type) bool { return t == dtype.F32 },
	"half":   func(t dtype.Type) bool { return t == dtype.F16 },
	"short":  func(t dtype.Type) bool { return t == dtype.BF16 },
	"ushort": func(t dtype.Type) bool { return t == dtype.BF16 },
	"int":    func(t dtype.Type) bool { return t == dtype.I32 },
	"uint":   func(t dtype.Type) bool { return t == dtype.I32 },
	"char":   dtype.Type.Quantised,
	"uchar":  dtype.Type.Quantised,
}

// holds checks that a slot's type reads what b's dtype says that it holds. The step
// has words of several types; types that a kernel declares itself are its own matter.
func (b *Buffer) holds(slotType string) error {
	reads := elements[element(slotType)]
	if reads == nil || b.Role == StepBuffer || reads(b.DType) {
		return nil
	}
	return fmt.Errorf("elements of type %s, buffer %s holds %s", slotType, b.Name, b.DType)
}

// alignments are those of the pointee types whose size Metal fixes; types that
// a kernel declares itself are its own matter.
var alignments = map[string]int64{
	"half": 2, "short": 2, "ushort": 2, "half2": 4, "ushort2": 4, "half4": 8, "ushort4": 8,
	"char4": 4, "uchar4": 4, "packed_half4": 2, "packed_float4": 4,
	"float": 4, "int": 4, "uint": 4, "atomic_int": 4, "atomic_uint": 4, "atomic_float": 4, "Step": 4,
	"float2": 8, "int2": 8, "uint2": 8, "float4": 16, "int4": 16, "uint4": 16,
}

// verifyContent checks that transients and outputs hold what this run wrote when
// d reads them, in step order; then d's own writes count.
func (p *Plan) verifyContent(d *Dispatch, live ranges) error {
	for i, b := range d.Bind {
		if !b.Access.Reads() {
			continue
		}
		space, lo, runOnly := p.locate(b)
		if !runOnly {
			continue
		}
		if at, owner := live.missing(space, lo, lo+b.Bytes, b.Buffer); at >= 0 {
			name, slot := p.Buffers[b.Buffer].Name, p.Kernels[d.Kernel].Slots[i].Name
			byteAt := b.Offset + at - lo
			if owner >= 0 {
				return fmt.Errorf("slot %s reads byte %d of %s, which %s has overwritten in the arena", slot, byteAt, name, p.Buffers[owner].Name)
			}
			return fmt.Errorf("slot %s reads byte %d of %s before it is written", slot, byteAt, name)
		}
	}
	for _, b := range d.Bind {
		if space, lo, runOnly := p.locate(b); runOnly && b.Access.Writes() {
			live.set(space, lo, lo+b.Bytes, b.Buffer)
		}
	}
	return nil
}

// verifyPosition checks that nobody looks at T, P and S behind the dispatch that
// advances them: kernels read them before their ready point.
func (p *Plan) verifyPosition(d *Dispatch, advanced *string) error {
	writes := false
	for i, b := range d.Bind {
		if p.Buffers[b.Buffer].Role != StepBuffer || b.Offset > 4*StepS {
			continue
		}
		if *advanced != "" {
			return fmt.Errorf("slot %s looks at T, P and S of the step behind dispatch %q, which advances them", p.Kernels[d.Kernel].Slots[i].Name, *advanced)
		}
		writes = writes || b.Access.Writes()
	}
	if writes {
		*advanced = d.Label
	}
	return nil
}

// arenaSpace is the address space of all transients; other buffers have their
// own, numbered as they are.
const arenaSpace = -1

// locate says where a binding's bytes are; runOnly is true where content does
// not outlive a run, so that only what the run wrote can be read.
func (p *Plan) locate(b Binding) (space int, lo int64, runOnly bool) {
	buf := &p.Buffers[b.Buffer]
	if buf.Class == Transient {
		return arenaSpace, buf.Offset + b.Offset, true
	}
	return b.Buffer, b.Offset, buf.Class == Output
}

// verifyResults checks the entry's results; written says which buffers it writes.
func (p *Plan) verifyResults(e *Entry, written map[int]bool) error {
	names, holds := map[string]bool{}, map[int]string{}
	for _, r := range e.Results {
		if !printable(r.Name) || names[r.Name] {
			return fmt.Errorf("result name %q is empty, not printable or a second one", r.Name)
		}
		names[r.Name] = true
		if r.Buffer < 0 || r.Buffer >= len(p.Buffers) {
			return fmt.Errorf("result %s: buffer %d of %d", r.Name, r.Buffer, len(p.Buffers))
		}
		if buf := &p.Buffers[r.Buffer]; buf.Class != Output && buf.Class != State {
			return fmt.Errorf("result %s: buffer %s is of class %s, want output or state", r.Name, buf.Name, buf.Class)
		}
		if !written[r.Buffer] {
			return fmt.Errorf("result %s: no dispatch writes buffer %s", r.Name, p.Buffers[r.Buffer].Name)
		}
		if other, ok := holds[r.Buffer]; ok {
			return fmt.Errorf("result %s: buffer %s holds result %s", r.Name, p.Buffers[r.Buffer].Name, other)
		}
		holds[r.Buffer] = r.Name
	}
	for _, i := range slices.Sorted(maps.Keys(written)) {
		b := &p.Buffers[i]
		leaves := b.Class == Output || b.Cache || b.Role == LogitsBuffer
		if _, ok := holds[i]; leaves && !ok {
			return fmt.Errorf("no result is in the %s %s, which a dispatch writes", b.Class, b.Name)
		}
	}
	return nil
}
