package metal

import (
	"fmt"

	choice "foundry/ir/kernel"
	"foundry/lower/msl"
)

// Types of variables, as declarations say them.
var (
	uintType    = msl.Name("uint")
	intType     = msl.Name("int")
	floatType   = msl.Name("float")
	constexpr   = msl.Constexpr(uintType)
	constInt    = msl.Name("const int")
	constBool   = msl.Name("const bool")
	constUint   = msl.Name("const uint")
	constUint2  = msl.Name("const uint2")
	constFloat2 = msl.Name("const float2")
	constFloat  = msl.Name("const float")
)

// bytesOfDevice is the type of a pointer to weights.
var bytesOfDevice = msl.Name("device const uchar *")

// Values that stand everywhere.
var (
	zero      = msl.Name("0.0f")
	one       = msl.Name("1.0f")
	yes       = msl.Name("true")
	no        = msl.Name("false")
	positionX = msl.Name("position.x")
	groupX    = msl.Name("group.x")
	groupY    = msl.Name("group.y")
	groupZ    = msl.Name("group.z")
	thread    = msl.Name("thread_index")
	simd      = msl.Name("simd")
	lane      = msl.Name("lane")
)

// firstThread is true in one thread of a threadgroup.
var firstThread = simd.Equal(u(0)).And(lane.Equal(u(0)))

// u is an unsigned number.
func u[T int | int64 | uint32](n T) *msl.Value { return msl.U(n) }

// add adds statements where the kernel is being written. Its lines are not copied to where
// it is called, some 500 times, for the time of compiling them.
//
//go:noinline
func (k *kernel) add(s ...msl.Statement) { *k.list = append(*k.list, s...) }

// do adds a call that is made for what it does.
func (k *kernel) do(call *msl.Value) { k.add(&msl.Do{Call: call}) }

// let declares a variable with a value, and returns it.
func (k *kernel) let(typ *msl.Value, name string, value *msl.Value) *msl.Value {
	v := msl.Variable(name)
	k.add(msl.Let(typ, v, value))
	return v
}

// array declares an array that is not set yet; without a size it declares a variable.
func (k *kernel) array(typ *msl.Value, name string, size *msl.Value) *msl.Value {
	v := msl.Variable(name)
	k.add(msl.Array(typ, v, size))
	return v
}

// within has write add to another list.
func (k *kernel) within(list *[]msl.Statement, write func()) {
	own := k.list
	k.list = list
	write()
	k.list = own
}

// when writes body under a condition, loop for each i from begin while it is below end, by
// step, 1 where that is nil.
func (k *kernel) when(condition *msl.Value, body func()) {
	s := &msl.If{Branches: []msl.Branch{{Condition: condition}}}
	k.add(s)
	k.within(&s.Branches[0].Body, body)
}

func (k *kernel) loop(name string, begin, end, step *msl.Value, body func(i *msl.Value)) {
	i := msl.Variable(name)
	k.loopOn(i, begin, end, step, func() { body(i) })
}

// loopOn is loop with a variable that is there.
func (k *kernel) loopOn(i, begin, end, step *msl.Value, body func()) {
	s := &msl.For{Variable: i, From: begin, Below: end, Step: step}
	k.add(s)
	k.within(&s.Body, body)
}

// block writes body in braces of its own.
func (k *kernel) block(body func()) {
	s := &msl.Block{}
	k.add(s)
	k.within(&s.Body, body)
}

// choose writes the branch of the first of conditions that holds; the last may be nil, for
// what is left. A single one that is nil is no branch.
func (k *kernel) choose(conditions []*msl.Value, body func(i int)) {
	if len(conditions) == 1 && conditions[0] == nil {
		body(0)
		return
	}
	s := &msl.If{Branches: make([]msl.Branch, len(conditions))}
	k.add(s)
	for i, c := range conditions {
		s.Branches[i].Condition = c
		k.within(&s.Branches[i].Body, func() { body(i) })
	}
}

// each writes what the threads of a threadgroup do for size elements in turn, w at a
// time, with the first of them in the variable name. Where turns are few there is a variable
// that counts them.
func (k *kernel) each(name string, size int64, threads, w int, body func(i, round *msl.Value)) {
	step := int64(threads) * int64(w)
	rounds, few := choice.TurnsOf(size, threads, w)
	if !few {
		k.loop(name, thread.Mul(u(w)), u(size), u(step), func(i *msl.Value) { body(i, nil) })
		return
	}
	k.unroll()
	k.loop("round", u(0), u(rounds), nil, func(round *msl.Value) {
		i := k.let(constUint, name, thread.Add(round.Mul(u(threads))).Mul(u(w)))
		if size%step == 0 {
			body(i, round)
			return
		}
		exists := i.Less(u(size))
		if rounds > 1 { // only the last one is not whole
			exists = round.Less(u(rounds - 1)).Or(exists)
		}
		k.when(exists, func() { body(i, round) })
	})
}

// phase writes the banner of a phase: preload, prologue, main, epilogue.
func (k *kernel) phase(format string, args ...any) {
	k.add(&msl.Phase{Text: fmt.Sprintf(format, args...)})
}

// ready marks the point behind which a kernel may read what other dispatches wrote.
func (k *kernel) ready() { k.add(k.readyPoint) }

// barrier has the threads of the threadgroup meet over its memory.
func (k *kernel) barrier() { k.add(&msl.Barrier{Memory: "mem_threadgroup"}) }

// barrierOfSimdgroup has the threads of the simdgroup meet over it.
func (k *kernel) barrierOfSimdgroup() {
	k.add(&msl.Barrier{Simdgroup: true, Memory: "mem_threadgroup"})
}

func (k *kernel) unroll()      { k.add(&msl.Unroll{Macro: "FOUNDRY_UNROLL"}) }
func (k *kernel) unrollTiles() { k.add(&msl.Unroll{Macro: "FOUNDRY_UNROLL_TILES"}) }
