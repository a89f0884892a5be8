package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// Limits that every plan keeps, whatever its target: Metal's, but for threadgroup memory, of
// which the targets' GPUs have different sizes, and an H100 the largest.
const (
	MaxSlots            = 31
	MaxThreads          = 1024
	MaxThreadgroupBytes = 227 << 10
	maxGrid             = 1<<31 - 1
	simdWidth           = 32
	arenaAlign          = 256
	constantAlign       = 256 // of a binding in constant space
	maxTokens           = 1 << 30
	maxChain            = 64 // decode steps in a command buffer
	maxElems            = 1 << 48
)

// Check is Verify and then CheckHazards: all that can be known of a plan without
// running it.
func (p *Plan) Check() error {
	if err := p.Verify(); err != nil {
		return err
	}
	return p.CheckHazards()
}

// Verify checks the structure of p: indices, ranges, signatures, limits, waves,
// command buffers, and that what is read was written. An error names the
// kernel, buffer or dispatch, what it has and what it should have.
func (p *Plan) Verify() error {
	if p.Schema != Schema {
		return fmt.Errorf("plan: schema version %d, want %d", p.Schema, Schema)
	}
	if err := p.verifyHeader(); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	if err := p.verifyKernels(); err != nil {
		return err
	}
	if err := p.verifyNeeds(); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	if err := p.verifyBuffers(); err != nil {
		return err
	}
	if err := p.verifyEntries(); err != nil {
		return err
	}
	if err := p.verifyLanguage(); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	return nil
}

var mslVersion = regexp.MustCompile(`^[1-9]\.[0-9]$`)

func (p *Plan) verifyHeader() error {
	m := p.Model
	switch {
	case !mslVersion.MatchString(p.MSL):
		return fmt.Errorf("msl is %q, want a language version such as 3.0", p.MSL)
	case m.Layers < 0 || m.Hidden < 0 || m.Vocab < 0 || m.Context < 0 || m.Chunk < 0:
		return fmt.Errorf("model %q has a negative size", m.Name)
	case m.Context > maxTokens:
		return fmt.Errorf("context %d, at most %d", m.Context, maxTokens)
	case m.Chunk > m.Context:
		return fmt.Errorf("chunk %d is larger than the context %d", m.Chunk, m.Context)
	case !p.Options.Weights.Valid() || !p.Options.Cache.Valid():
		return fmt.Errorf("options name no dtype for weights or cache")
	case p.Options.CommandBuffers < 0:
		return fmt.Errorf("options ask for %d command buffers", p.Options.CommandBuffers)
	case p.ArenaBytes < 0 || p.ArenaBytes%arenaAlign != 0:
		return fmt.Errorf("the arena has %d bytes, want a multiple of %d", p.ArenaBytes, arenaAlign)
	case len(p.Entries) == 0:
		return errors.New("no entry")
	}
	if err := p.verifyTokens(); err != nil {
		return err
	}
	limit := int64(m.Context)
	if limit == 0 { // a graph without a cache
		limit = maxTokens
	}
	most := int64(0) // tokens of a run
	for _, e := range p.Runs() {
		most = max(most, e.TMax)
		if e.TMin < 1 || e.TMax < e.TMin || e.TMax > limit {
			return fmt.Errorf("entry %s: T from %d to %d, want 1 to at most %d", e.Name, e.TMin, e.TMax, limit)
		}
	}
	if int64(m.Chunk) > most {
		return fmt.Errorf("chunk %d, but no entry runs more than %d tokens", m.Chunk, most)
	}
	return p.verifyModel()
}

// verifyTokens checks that what is said of tokens makes sense.
func (p *Plan) verifyTokens() error {
	if p.Tokens == nil {
		return nil
	}
	for _, id := range p.Tokens.Ends {
		if id < 0 {
			return fmt.Errorf("the end token %d is no id", id)
		}
	}
	for i, t := range p.Tokens.Special {
		if t.ID < 0 || i > 0 && t.ID <= p.Tokens.Special[i-1].ID {
			return fmt.Errorf("the special token %q has the id %d; want them in order", t.Text, t.ID)
		}
	}
	if t := p.Tokens.Template; t != nil && t.Text == "" && t.Tools == "" {
		return errors.New("a chat template without a text")
	}
	return nil
}

var identifierPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,199}$`)

func identifier(s string) bool { return identifierPattern.MatchString(s) }

var classes = []Class{Weight, Constant, Prepared, Input, Output, State, Transient}

// printable reports whether a name of a buffer, an entry or a result can stand in a line.
func printable(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsGraphic(c) })
}

func (p *Plan) verifyKernels() error {
	seen := map[string]int{} // by lower-case name: the files must differ on every file system
	for i := range p.Kernels {
		k := &p.Kernels[i]
		if !identifier(k.Name) {
			return fmt.Errorf("kernel %d: name %q is not a C identifier of at most 200 letters", i, k.Name)
		}
		lower := strings.ToLower(k.Name)
		if j, ok := seen[lower]; ok {
			return fmt.Errorf("kernel %s: the name of kernel %d and of kernel %d", k.Name, j, i)
		}
		seen[lower] = i
		if err := k.verify(); err != nil {
			return fmt.Errorf("kernel %s: %w", k.Name, err)
		}
	}
	return nil
}

func (k *Kernel) verify() error {
	if k.Main != "" && !mainName.MatchString(string(k.Main)) {
		return fmt.Errorf("main is %q, want words in lower case with hyphens between them, such as product-rows", k.Main)
	}
	for i, s := range k.Stages {
		if !fs.ValidPath(s) || slices.Contains(k.Stages[:i], s) {
			return fmt.Errorf("stage %d: %q is no path or stands twice", i, s)
		}
	}
	if k.File != "" && k.File != kernelFile(k.Name) {
		return fmt.Errorf("file is %q, want %q", k.File, kernelFile(k.Name))
	}
	if strings.TrimSpace(k.Source) == "" {
		return errors.New("no source")
	}
	if n := len(k.Source); n > maxKernelBytes {
		return fmt.Errorf("%d bytes of source, at most %d", n, maxKernelBytes)
	}
	if len(k.Slots) > MaxSlots {
		return fmt.Errorf("%d buffer slots, Metal has %d", len(k.Slots), MaxSlots)
	}
	names := map[string]bool{}
	argument := func(kind string, i int, name, typ string) error {
		if !identifier(name) || !identifier(typ) {
			return fmt.Errorf("%s %d: name %q and type %q, want identifiers", kind, i, name, typ)
		}
		if names[name] {
			return fmt.Errorf("%s %d: a second argument named %s", kind, i, name)
		}
		names[name] = true
		return nil
	}
	for i, s := range k.Slots {
		if err := argument("slot", i, s.Name, s.Type); err != nil {
			return err
		}
		switch {
		case !s.Access.valid():
			return fmt.Errorf("slot %s: access %q, want read, write or readwrite", s.Name, s.Access)
		case s.Space == "constant" && s.Access != Read:
			return fmt.Errorf("slot %s: access %s in constant space, want read", s.Name, s.Access)
		case s.Space != "constant" && s.Space != "device":
			return fmt.Errorf("slot %s: space %q, want device or constant", s.Name, s.Space)
		}
	}
	total := 0
	for i, a := range k.Threadgroup {
		if err := argument("threadgroup argument", i, a.Name, a.Type); err != nil {
			return err
		}
		if a.Bytes <= 0 || a.Bytes > MaxThreadgroupBytes || a.Bytes%16 != 0 {
			return fmt.Errorf("threadgroup argument %s: %d bytes, want a multiple of 16 up to %d", a.Name, a.Bytes, MaxThreadgroupBytes)
		}
		total += a.Bytes
		if total > MaxThreadgroupBytes {
			return fmt.Errorf("%d bytes of threadgroup memory up to argument %s, at most %d", total, a.Name, MaxThreadgroupBytes)
		}
	}
	for i, b := range k.Builtins {
		if b.Argument().Name == "" {
			return fmt.Errorf("unknown built-in %q", b)
		}
		if slices.Contains(k.Builtins[:i], b) {
			return fmt.Errorf("built-in %s twice", b)
		}
	}
	threads := 1
	for _, n := range k.Threads {
		if n < 1 || n > MaxThreads {
			return fmt.Errorf("threads %v, want 1 to %d", k.Threads, MaxThreads)
		}
		threads *= n
	}
	if threads > MaxThreads {
		return fmt.Errorf("%d threads a threadgroup, at most %d", threads, MaxThreads)
	}
	// Apple leaves undefined what happens where others are there, or fewer.
	if k.Matrices != 0 && k.Matrices*simdWidth != threads {
		return fmt.Errorf("%d simdgroups use matrix units together, a threadgroup has %d threads; want all of its simdgroups", k.Matrices, threads)
	}
	return nil
}

func (a Access) valid() bool { return a.Reads() || a.Writes() }

// verifyBuffers checks what can be said of each buffer alone.
func (p *Plan) verifyBuffers() error {
	names, roles := map[string]bool{}, map[BufferRole]string{}
	for i := range p.Buffers {
		b := &p.Buffers[i]
		if !printable(b.Name) {
			return fmt.Errorf("buffer %d: name %q, want printable characters", i, b.Name)
		}
		if names[b.Name] {
			return fmt.Errorf("buffer %s: a second one of that name", b.Name)
		}
		names[b.Name] = true
		if b.Role != NoRole {
			if other, ok := roles[b.Role]; ok {
				return fmt.Errorf("buffer %s: role %q, as buffer %s has", b.Name, b.Role, other)
			}
			roles[b.Role] = b.Name
		}
		if err := p.verifyBuffer(b); err != nil {
			return fmt.Errorf("buffer %s: %w", b.Name, err)
		}
	}
	if err := p.verifyWeights(); err != nil {
		return err
	}
	return p.verifyShapes()
}

var recipeKinds = []string{"as_stored", "convert", "quantise", Planes}

// roleTypes is the class and dtype that a buffer of each role has. Logits are a state
// where another entry reads them.
var roleTypes = map[BufferRole]struct {
	class Class
	dtype dtype.Type
}{
	StepBuffer: {State, dtype.I32}, IDsBuffer: {State, dtype.I32}, LogitsBuffer: {Output, dtype.F32}, TokenBuffer: {Output, dtype.I32},
	HistoryBuffer: {State, dtype.I32}, RangesBuffer: {Prepared, dtype.F32},
}

func (p *Plan) verifyBuffer(b *Buffer) error {
	if b.Bytes <= 0 {
		return fmt.Errorf("%d bytes", b.Bytes)
	}
	if !b.DType.Valid() {
		return errors.New("no dtype")
	}
	if !slices.Contains(classes, b.Class) {
		return fmt.Errorf("unknown class %q", b.Class)
	}
	if (b.Class == Weight) != (b.Weight != nil) {
		return fmt.Errorf("class %s, and weight recipe present: %t", b.Class, b.Weight != nil)
	}
	if (b.Class == Constant) != (len(b.Values) > 0) {
		return fmt.Errorf("class %s with %d values", b.Class, len(b.Values))
	}
	if b.Range != 0 {
		if err := p.verifyRange(b); err != nil {
			return err
		}
	}
	if b.Class != Transient && b.Offset != 0 {
		return fmt.Errorf("class %s at offset %d; only transients have one", b.Class, b.Offset)
	}
	switch b.Class {
	case Weight:
		if b.Weight.Tensor == "" || !slices.Contains(recipeKinds, b.Weight.Kind) {
			return fmt.Errorf("recipe %q of tensor %q, want one of %s", b.Weight.Kind, b.Weight.Tensor, strings.Join(recipeKinds, ", "))
		}
		if n, fixed := rowOf(b); b.inPlanes() && !(fixed && b.DType.HasPlanes(n)) {
			return fmt.Errorf("rows of %d of %s have no planes", n, b.DType)
		}
		if k := b.Weight.Kind; k == "quantise" && !(b.DType.Quantised() && b.DType.CanQuantise()) || k == "convert" && !b.DType.Float() {
			return fmt.Errorf("recipe %s makes no %s of tensor %q", k, b.DType, b.Weight.Tensor)
		}
	case Constant:
		if b.DType.Quantised() {
			return fmt.Errorf("constant of dtype %s, want a plain one", b.DType)
		}
		if want := b.DType.Bytes(int64(len(b.Values))); b.Bytes != want {
			return fmt.Errorf("%d bytes for %d values of %s, want %d", b.Bytes, len(b.Values), b.DType, want)
		}
	case Transient:
		if b.Offset < 0 || b.Offset%arenaAlign != 0 {
			return fmt.Errorf("arena offset %d, want a multiple of %d", b.Offset, arenaAlign)
		}
		if b.Bytes > p.ArenaBytes || b.Offset > p.ArenaBytes-b.Bytes {
			return fmt.Errorf("arena bytes %d to %d, the arena has %d", b.Offset, b.Offset+b.Bytes, p.ArenaBytes)
		}
	}
	if b.Role != NoRole {
		form, ok := roleTypes[b.Role]
		if !ok {
			return fmt.Errorf("unknown role %q", b.Role)
		}
		if form.class != b.Class && !(b.Role == LogitsBuffer && b.Class == State) || form.dtype != b.DType {
			return fmt.Errorf("role %q of %s of class %s, want %s of class %s", b.Role, b.DType, b.Class, form.dtype, form.class)
		}
		if b.Role == StepBuffer && b.Bytes < StepBytes {
			return fmt.Errorf("the step buffer has %d bytes, want %d", b.Bytes, StepBytes)
		}
	}
	return p.verifyPositions(b)
}

// verifyPositions holds what has an element or a row for each position to the context:
// runs go up to its end, whatever memory there is.
func (p *Plan) verifyPositions(b *Buffer) error {
	context := int64(p.Model.Context)
	switch {
	case b.Cache:
		if b.Class != State || len(b.Shape) < 2 {
			return fmt.Errorf("a cache of class %s and %d dimensions, want a state of positions and a width", b.Class, len(b.Shape))
		}
		if n, fixed := b.Shape[len(b.Shape)-2].Const(); !fixed || n < context {
			return fmt.Errorf("a cache of shape %v, the context has %d positions", b.Shape, context)
		}
		if bytes, ok := shapeBytes(b, sym.Env{}); !ok || bytes > b.Bytes {
			return fmt.Errorf("a cache of shape %v of %s in %d bytes", b.Shape, b.DType, b.Bytes)
		}
	case b.Role == HistoryBuffer && b.Bytes < 4*context:
		return fmt.Errorf("%d bytes for the tokens of a context of %d", b.Bytes, context)
	}
	return nil
}

// verifyShapes checks that the elements of each buffer fit for every T and P of
// every entry that binds it, and that at the largest they take all of it.
func (p *Plan) verifyShapes() error {
	seen := slices.Repeat([]int{-1}, len(p.Buffers)) // the last entry that binds it
	most := make([]int64, len(p.Buffers))            // bytes of elements
	for i, e := range p.Runs() {
		corners := p.corners(e)
		for _, s := range e.Steps {
			if s.Dispatch == nil {
				continue
			}
			for _, b := range s.Dispatch.Bind {
				if b.Buffer < 0 || b.Buffer >= len(p.Buffers) || seen[b.Buffer] == i {
					continue
				}
				seen[b.Buffer] = i
				n, err := p.Buffers[b.Buffer].verifyShape(corners)
				if err != nil {
					return fmt.Errorf("buffer %s: %w", p.Buffers[b.Buffer].Name, err)
				}
				most[b.Buffer] = max(most[b.Buffer], n)
			}
		}
	}
	for i := range p.Buffers {
		if b := &p.Buffers[i]; seen[i] >= 0 && most[i] != b.Bytes {
			return fmt.Errorf("buffer %s: shape %v of %s needs %d bytes at most, the buffer has %d", b.Name, b.Shape, b.DType, most[i], b.Bytes)
		}
	}
	return nil
}

// verifyShape returns the most bytes that b's elements take.
func (b *Buffer) verifyShape(corners []sym.Env) (most int64, err error) {
	for _, env := range corners {
		bytes, ok := shapeBytes(b, env)
		if !ok {
			return 0, fmt.Errorf("shape %v of %s makes no sense at T=%d P=%d", b.Shape, b.DType, env.T, env.P)
		}
		if bytes > b.Bytes {
			return 0, fmt.Errorf("shape %v of %s needs %d bytes at T=%d P=%d, the buffer has %d", b.Shape, b.DType, bytes, env.T, env.P, b.Bytes)
		}
		most = max(most, bytes)
	}
	return most, nil
}

// shapeBytes is the storage of b's elements; ok is false for a negative dim, a
// row of broken blocks or a size that no memory has.
func shapeBytes(b *Buffer, env sym.Env) (bytes int64, ok bool) {
	elems := int64(1)
	for i, d := range b.Shape {
		n := d.Eval(env)
		block, _ := b.DType.Block()
		if n < 0 || n > maxElems || i == len(b.Shape)-1 && n%int64(block) != 0 {
			return 0, false
		}
		if n > 0 && elems > maxElems/n {
			return 0, false
		}
		elems *= n
	}
	if n, _ := rowOf(b); b.inPlanes() {
		return elems / n * b.DType.PlaneBytes(n), true
	}
	return b.DType.Bytes(elems), true
}

// corners are the extreme values of T and P that e runs with: P + T never
// exceeds the context, and P is 0 in a plan without one. What is affine in T and
// P has its extremes there.
func (p *Plan) corners(e *Entry) []sym.Env {
	out := make([]sym.Env, 0, 4)
	for _, t := range []int64{e.TMin, e.TMax} {
		for _, past := range []int64{0, p.MaxP(e, t)} {
			if env := (sym.Env{T: t, P: past}); !slices.Contains(out, env) {
				out = append(out, env)
			}
		}
	}
	return out
}

// MaxP is the largest P that a run of e with t tokens may start from.
func (p *Plan) MaxP(e *Entry, t int64) int64 {
	most := max(0, int64(p.Model.Context)-t)
	if e.PMax > 0 {
		return min(e.PMax, most)
	}
	return most
}
