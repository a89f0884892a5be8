package metal

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// refKind says what a kernel's slot is bound to when the kernel is dispatched
// for a node.
type refKind uint8

const (
	refArg      refKind = iota // operand of the node
	refResult                  // result of the node
	refScratch                 // memory between the kernels of one node
	refPosition                // the step's words T, P, S
	refStep                    // the whole step
	refRefused                 // the words error and error_argument of the step
	refIDs                     // the ids of this run and the next
	refHistory                 // the ids of the sequence, by position
	refRange                   // the range of a value, by its number in the region
)

type ref struct {
	kind  refKind
	index int
}

// kernel is one MSL function in the making: its slots and what they are bound
// to, its stage files and its body.
type kernel struct {
	name       string // wanted; made unique when the plan is put together
	identity   identity
	slots      []plan.Slot
	refs       []ref
	arguments  []*msl.Value // the names of the slots
	shared     []plan.ThreadgroupArg
	builtins   map[plan.Builtin]bool
	threads    int
	matrices   int // simdgroups that use matrix units together
	grid       [3]plan.GridDim
	stages     []string
	params     []plan.Param
	head       []msl.Statement // declarations of values that are loaded once, first of all
	body       []msl.Statement
	list       *[]msl.Statement // the statements to which more are added now
	readyPoint *msl.Ready
	stepT      *msl.Value // T and P, where they are asked for
	stepP      *msl.Value
	variables  []*msl.Value // what index values are made of, by number
	names      map[string]int
	moved      sym.Poly              // bytes moved, where they are not what the kernel binds, once each
	flops      *sym.Poly             // operations, where they are not what the node computes
	reads      map[int][]affine      // operand -> offsets that the thread which owns an element reads, each once
	writes     map[int][]affine      // result -> offsets that it writes
	readBeyond map[int]bool          // operands that other threads read too
	ahead      bool                  // independence of all that dispatches of the step write; such a kernel has no ready point
	label      string                // added to the node's label where a node takes several kernels
	executes   []int                 // the region's operations that it does, wholly or in part, where it does not do all
	once       map[loaded]*msl.Value // values that are loaded once
	here       bool                  // loads where it stands, not at the beginning
	walks      []*task.Walk          // walks that it was written along
}

// identity says what a kernel is: its main, and of which operations.
type identity struct {
	main plan.Main
	of   string
}

// line is what the kernel's banner says.
func (i identity) line() string {
	if i.of == "" {
		return "main: " + i.main.Phrase()
	}
	return i.of + "; main: " + i.main.Phrase()
}

func newKernel(name string, of identity) *kernel {
	k := &kernel{name: name, identity: of, builtins: map[plan.Builtin]bool{}, names: map[string]int{}, readyPoint: &msl.Ready{}, variables: slices.Clone(given[:]),
		reads: map[int][]affine{}, writes: map[int][]affine{}, readBeyond: map[int]bool{}, once: map[loaded]*msl.Value{}}
	k.list = &k.body
	for i := range k.grid {
		k.grid[i] = plan.GridDim{N: sym.Const(1), Div: 1}
	}
	for _, b := range plan.BuiltinArguments() {
		k.names[b.Name] = 1
	}
	k.use("common/phases.metal")
	return k
}

// use adds stage files, each once.
func (k *kernel) use(files ...string) {
	for _, f := range files {
		if !slices.Contains(k.stages, f) {
			k.stages = append(k.stages, f)
		}
	}
}

// fresh returns base, or base with a number where the name is taken.
func (k *kernel) fresh(base string) string {
	n := k.names[base]
	k.names[base] = n + 1
	if n == 0 {
		return base
	}
	return k.fresh(fmt.Sprintf("%s%d", base, n+1))
}

// slot returns the argument bound to r, adding it when it is new.
func (k *kernel) slot(r ref, base, mslType string, access plan.Access) *msl.Value {
	for i, have := range k.refs {
		if have == r {
			if k.slots[i].Access != access {
				k.slots[i].Access = plan.ReadWrite
			}
			return k.arguments[i]
		}
	}
	s := plan.Slot{Name: k.fresh(base), Type: mslType, Space: "device", Access: access}
	if r.kind == refPosition {
		s.Space = "constant"
	}
	k.slots, k.refs, k.arguments = append(k.slots, s), append(k.refs, r), append(k.arguments, msl.Name(s.Name))
	return k.arguments[len(k.arguments)-1]
}

// loadedOnce returns element at of a slot of floats, which the kernel loads at its beginning,
// or where loadHere has it: one that no dispatch of the step writes.
func (k *kernel) loadedOnce(slot *msl.Value, at int64, base string) *msl.Value {
	key := loaded{slot, at}
	if v := k.once[key]; v != nil {
		return v
	}
	v := msl.Variable(k.fresh(base))
	k.once[key] = v
	if load := msl.Let(constFloat, v, slot.At(msl.Int(at))); k.here {
		k.add(load)
	} else {
		k.head = append(k.head, load)
	}
	return v
}

// loaded is an element of a slot.
type loaded struct {
	slot *msl.Value
	at   int64
}

// loadHere loads what use needs where it stands, so that it takes no registers
// before. The function it returns forgets the names, at the end of the block.
func (k *kernel) loadHere(use func()) (end func()) {
	before := k.once
	k.once, k.here = maps.Clone(before), true
	use()
	k.here = false
	return func() { k.once = before }
}

// refused is where a step says why it was refused.
func (k *kernel) refused() *msl.Value {
	return k.slot(ref{kind: refRefused}, "refused", "atomic_uint", plan.Write)
}

func (k *kernel) threadgroup(base, mslType string, bytes int) *msl.Value {
	name := k.fresh(base)
	k.shared = append(k.shared, plan.ThreadgroupArg{Name: name, Type: mslType, Bytes: choice.Rounded(bytes)})
	return msl.Name(name)
}

func (k *kernel) builtin(b plan.Builtin) *msl.Value {
	k.builtins[b] = true
	return msl.Name(b.Argument().Name)
}

func (k *kernel) param(name string, v int) {
	k.params = append(k.params, plan.Param{Name: name, Value: int64(v)})
}

// assemble returns the kernel without name and source, and of its source what is the
// kernel's own.
func (k *kernel) assemble() (plan.Kernel, *plan.Text, error) {
	body := msl.Fold(slices.Concat(k.head, k.body), k.isArgument)
	symbols := k.symbols(body)
	if err := k.fault(); err != nil {
		return plan.Kernel{}, nil, fmt.Errorf("%s was chosen and cannot be written: %w", k.name, err)
	}
	if slices.ContainsFunc(k.refs, func(r ref) bool { return r.kind == refStep || r.kind == refPosition }) {
		k.stages = slices.Insert(k.stages, 1, "common/step.metal")
	}
	text := &plan.Text{About: k.identity.line(), Body: msl.Print(append(symbols, body...), 1)}
	out := plan.Kernel{Main: k.identity.main, Stages: k.stages, Slots: k.slots, Threadgroup: k.shared, Threads: [3]int{k.threads, 1, 1}, Matrices: k.matrices, Params: k.params}
	for _, a := range plan.BuiltinArguments() {
		if k.builtins[a.Builtin] {
			out.Builtins = append(out.Builtins, a.Builtin)
		}
	}
	return out, text, nil
}

// stagesOf reads the stage files of a kernel.
func stagesOf(k *plan.Kernel, shaders fs.FS) ([]plan.Stage, error) {
	out := make([]plan.Stage, len(k.Stages))
	for i, f := range k.Stages {
		content, err := fs.ReadFile(shaders, f)
		if err != nil {
			return nil, fmt.Errorf("stage file %s: %w", f, err)
		}
		out[i] = plan.Stage{Path: f, Text: string(content)}
	}
	return out, nil
}

// fault is where a walk did not end that package cost took to its end: a mistake of the
// compiler's.
func (k *kernel) fault() error {
	for _, w := range k.walks {
		if w.Err != nil {
			return w.Err
		}
	}
	return nil
}

// position returns what the members of the step are of: the whole step where the kernel
// advances that, which has T and P, too.
func (k *kernel) position() *msl.Value {
	if i := slices.Index(k.refs, ref{kind: refStep}); i >= 0 {
		return k.arguments[i].At(msl.Int(0))
	}
	return k.slot(ref{kind: refPosition}, "step", "Position", plan.Read)
}

// symbols returns the declarations of T and P that the body needs. They stand before
// the ready point: no dispatch of an entry advances the step but the last (the plan's
// verifier holds it), and entries follow one another whole.
func (k *kernel) symbols(body []msl.Statement) []msl.Statement {
	var t, p bool
	msl.Reads(body, func(v *msl.Value) { t, p = t || v == k.stepT, p || v == k.stepP })
	var out []msl.Statement
	if t {
		out = append(out, msl.Let(constUint, k.stepT, k.position().Dot("T")))
	}
	if p {
		out = append(out, msl.Let(constUint, k.stepP, k.position().Dot("P")))
	}
	return out
}

// isArgument reports whether an argument of the function has that name.
func (k *kernel) isArgument(name string) bool {
	return slices.ContainsFunc(k.slots, func(s plan.Slot) bool { return s.Name == name }) ||
		slices.ContainsFunc(k.shared, func(a plan.ThreadgroupArg) bool { return a.Name == name }) ||
		slices.ContainsFunc(plan.BuiltinArguments(), func(a plan.BuiltinArgument) bool { return a.Name == name })
}

// inPlace returns the operand whose storage result j may take: one of which every
// thread reads exactly the elements that it writes of the result, -1 for none.
func (k *kernel) inPlace(j int) int {
	best := -1
	for p, offsets := range k.reads {
		if !k.readBeyond[p] && sameSet(offsets, k.writes[j]) && (best < 0 || p < best) {
			best = p
		}
	}
	return best
}

func note(m map[int][]affine, i int, offset affine) {
	if !slices.ContainsFunc(m[i], offset.Equal) {
		m[i] = append(m[i], offset)
	}
}

// sameSet reports whether a and b, in which no offset stands twice, hold the same ones.
func sameSet(a, b []affine) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x affine) bool { return !slices.ContainsFunc(b, x.Equal) })
}

// pointee returns the MSL element type of a dtype; block formats are bytes.
func pointee(t dtype.Type) string {
	switch t {
	case dtype.F32:
		return "float"
	case dtype.F16:
		return "half"
	case dtype.BF16:
		return "ushort"
	case dtype.I32:
		return "int"
	}
	return "uchar"
}
