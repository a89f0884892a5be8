package metal

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/task"
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
	shared     []plan.ThreadgroupArg
	builtins   map[plan.Builtin]bool
	threads    int
	matrices   int // simdgroups that use matrix units together
	grid       [3]plan.GridDim
	stages     []string
	params     []plan.Param
	body       strings.Builder
	preload    string // text before the ready point
	afterReady string // text right behind it
	depth      int
	usesT      bool
	usesP      bool
	names      map[string]int
	moved      sym.Poly                // bytes moved, where they are not what the kernel binds, once each
	flops      *sym.Poly               // operations, where they are not what the node computes
	reads      map[int]map[string]bool // operand -> offsets that the thread which owns an element reads
	writes     map[int]map[string]bool // result -> offsets that it writes
	readBeyond map[int]bool            // operands that other threads read too
	label      string                  // added to the node's label where a node takes several kernels
	executes   []int                   // the region's operations that it does, wholly or in part, where it does not do all
	head       string                  // declarations of values that are loaded once, first of all
	once       map[string]string       // names of values that are loaded once
	here       bool                    // loads where the text stands, not at the ready point
	walks      []*task.Walk            // walks that it was written along
}

// kernelName stands for the function's name until the plan gives it one.
const kernelName = "KERNEL_NAME"

// typicalBody is the bytes of a long body, for the first allocation.
const typicalBody = 6 << 10

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
	k := &kernel{name: name, identity: of, builtins: map[plan.Builtin]bool{}, names: map[string]int{}, depth: 1,
		reads: map[int]map[string]bool{}, writes: map[int]map[string]bool{}, readBeyond: map[int]bool{}, once: map[string]string{}}
	for i := range k.grid {
		k.grid[i] = plan.GridDim{N: sym.Const(1), Div: 1}
	}
	for _, b := range plan.BuiltinArguments() {
		k.names[b.Name] = 1
	}
	k.body.Grow(typicalBody)
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

// slot returns the name of the argument bound to r, adding it when it is new.
func (k *kernel) slot(r ref, base, mslType string, access plan.Access) string {
	for i, have := range k.refs {
		if have == r {
			if k.slots[i].Access != access {
				k.slots[i].Access = plan.ReadWrite
			}
			return k.slots[i].Name
		}
	}
	s := plan.Slot{Name: k.fresh(base), Type: mslType, Space: "device", Access: access}
	if r.kind == refPosition {
		s.Space = "constant"
	}
	k.slots, k.refs = append(k.slots, s), append(k.refs, r)
	return s.Name
}

// loadedOnce returns the name of a float that the kernel loads at its beginning, or
// where loadHere has it: one that no dispatch of the step writes.
func (k *kernel) loadedOnce(from, base string) string {
	name, ok := k.once[from]
	if ok {
		return name
	}
	name = k.fresh(base)
	k.once[from] = name
	if text := fmt.Sprintf("const float %s = %s;", name, from); k.here {
		k.line("%s", text)
	} else {
		k.head += "    " + text + "\n"
	}
	return name
}

// loadHere loads what use needs where the text stands, so that it takes no registers
// before. The function it returns forgets the names, at the end of the block.
func (k *kernel) loadHere(use func()) (end func()) {
	before := k.once
	k.once, k.here = maps.Clone(before), true
	use()
	k.here = false
	return func() { k.once = before }
}

func (k *kernel) threadgroup(base, mslType string, bytes int) string {
	name := k.fresh(base)
	k.shared = append(k.shared, plan.ThreadgroupArg{Name: name, Type: mslType, Bytes: (bytes + 15) / 16 * 16})
	return name
}

func (k *kernel) builtin(b plan.Builtin) string {
	k.builtins[b] = true
	return b.Argument().Name
}

// text prints an affine and notes which step symbols the kernel needs.
func (k *kernel) text(a affine) string {
	k.note(a.Const)
	for _, t := range a.Terms {
		k.note(t.Coef)
	}
	return a.String()
}

func (k *kernel) note(p sym.Poly) {
	k.usesT = k.usesT || p.T != 0 || p.TT != 0 || p.TP != 0
	k.usesP = k.usesP || p.P != 0 || p.TP != 0
}

func (k *kernel) line(format string, args ...any) {
	for l := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		if l != "" {
			for range k.depth {
				k.body.WriteString("    ")
			}
			k.body.WriteString(l)
		}
		k.body.WriteByte('\n')
	}
}

// open begins a block, "if (x)" or "" for a bare one; close ends it.
func (k *kernel) open(format string, args ...any) {
	head := fmt.Sprintf(format, args...)
	if head != "" {
		head += " "
	}
	k.line("%s{", head)
	k.depth++
}

func (k *kernel) close() {
	k.depth--
	k.line("}")
}

// each opens what the threads of a threadgroup do for size elements in turn, w at a
// time, with the first of them in the variable name; the function it returns
// closes it. A few rounds are written as a loop of known length, which compilers
// unroll to the loads alone.
func (k *kernel) each(name string, size int64, threads, w int) (close func()) {
	step := int64(threads) * int64(w)
	rounds, known := rounds(size, threads, w)
	if !known {
		k.open("for (uint %s = thread_index * %du; %s < %du; %s += %du)", name, w, name, size, name, step)
		return k.close
	}
	k.line("FOUNDRY_UNROLL")
	k.open("for (uint round = 0u; round < %du; round++)", rounds)
	k.line("const uint %s = (thread_index + round * %du) * %du;", name, threads, w)
	if size%step == 0 {
		return k.close
	}
	k.open("if (%s < %du)", name, size)
	return func() {
		k.close()
		k.close()
	}
}

// rounds is how often each thread has its turn in the loop that each writes; known
// where that is little, and the loop counts them in the variable round.
func rounds(size int64, threads, w int) (n int64, known bool) {
	step := int64(threads) * int64(w)
	n = (size + step - 1) / step
	return n, n <= 4
}

// aside returns the text that write writes, as it stands at depth.
func (k *kernel) aside(depth int, write func()) string {
	body, own := k.body, k.depth
	k.body, k.depth = strings.Builder{}, depth
	write()
	text := k.body.String()
	k.body, k.depth = body, own
	return text
}

// phase writes the banner of a phase: preload, prologue, main, epilogue.
func (k *kernel) phase(format string, args ...any) { k.line("// "+format, args...) }

// ready marks the point behind which a kernel may read what other dispatches
// wrote. The text of preload comes before it.
func (k *kernel) ready() { k.body.WriteString(readyPoint) }

const readyPoint = "@ready@\n"

func (k *kernel) param(name string, v int) {
	k.params = append(k.params, plan.Param{Name: name, Value: int64(v)})
}

// assemble returns the kernel with its whole MSL text, with kernelName for the name.
func (k *kernel) assemble(shaders fs.FS) (plan.Kernel, error) {
	if k.usesT || k.usesP {
		k.position()
	}
	if err := k.fault(); err != nil {
		return plan.Kernel{}, fmt.Errorf("%s was chosen and cannot be written: %w", k.name, err)
	}
	for _, s := range k.slots {
		if s.Type == "Step" || s.Type == "Position" {
			k.stages = slices.Insert(k.stages, 1, "common/step.metal")
			break
		}
	}
	text := plan.Text{About: k.identity.line()}
	for _, f := range k.stages {
		content, err := fs.ReadFile(shaders, f)
		if err != nil {
			return plan.Kernel{}, fmt.Errorf("stage file %s: %w", f, err)
		}
		text.Stages = append(text.Stages, plan.Stage{Path: f, Text: string(content)})
	}
	text.Body = k.symbols() + k.head + strings.Replace(k.body.String(), readyPoint, k.preload+"    FOUNDRY_READY();\n"+k.afterReady, 1)
	out := plan.Kernel{Name: kernelName, Main: k.identity.main, Stages: k.stages, Slots: k.slots, Threadgroup: k.shared, Threads: [3]int{k.threads, 1, 1}, Matrices: k.matrices, Params: k.params}
	for _, a := range plan.BuiltinArguments() {
		if k.builtins[a.Builtin] {
			out.Builtins = append(out.Builtins, a.Builtin)
		}
	}
	out.Source = text.Join(&out)
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

// position returns the text before the members of the step: of the whole step where the
// kernel advances that, which has T and P, too.
func (k *kernel) position() string {
	for _, s := range k.slots {
		if s.Type == "Step" {
			return s.Name + "[0]."
		}
	}
	return k.slot(ref{kind: refPosition}, "step", "Position", plan.Read) + "."
}

// symbols returns the declarations of T and P that the body needs. They stand before
// the ready point: no dispatch of an entry advances the step but the last (the plan's
// verifier holds it), and entries follow one another whole.
func (k *kernel) symbols() string {
	var b strings.Builder
	if k.usesT {
		b.WriteString("    const uint T = " + k.position() + "T;\n")
	}
	if k.usesP {
		b.WriteString("    const uint P = " + k.position() + "P;\n")
	}
	return b.String()
}

// inPlace returns the operand whose storage result j may take: one of which every
// thread reads exactly the elements that it writes of the result, -1 for none.
func (k *kernel) inPlace(j int) int {
	best := -1
	for p, offsets := range k.reads {
		if !k.readBeyond[p] && maps.Equal(offsets, k.writes[j]) && (best < 0 || p < best) {
			best = p
		}
	}
	return best
}

func note(m map[int]map[string]bool, i int, offset string) {
	if m[i] == nil {
		m[i] = map[string]bool{}
	}
	m[i][offset] = true
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
