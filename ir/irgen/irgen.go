// Package irgen turns a seed into a graph: what property tests run on.
//
// Graph mixes two kinds. Layers builds pieces of a Qwen2.5 model as the frontend
// does, with mutations: changes that a fusion must notice, such as a second use
// of an intermediate or a bias that is not there. Free strings together any ops
// that fit. Wide does the same in sizes and forms that Graph leaves out. The same seed gives the same graph on every machine. Shrink makes a failing
// graph small.
//
// Read next: layers.go for the pieces and their mutations; ir/seeded for the
// numbers that such a graph is run on.
package irgen

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// stream makes a seed's numbers differ from those of other users of PCG.
const stream = 0xf0d41e5

// Graph returns the random graph of a seed: three in four are pieces of a model
// with a few mutations, one is free. It always verifies.
func Graph(seed uint64) *ir.Graph {
	r := rand.New(rand.NewPCG(seed, stream))
	if r.IntN(4) == 0 {
		return Free(r)
	}
	return Layers(r, drawMutations(seed, r.IntN(7))...)
}

// drawMutations returns mutations, mean of them on average. Whether one is among them
// depends on the seed and its own name, so that a new mutation leaves the graphs
// that it is not drawn for as they were.
func drawMutations(seed uint64, mean int) []string {
	const often = 40 // one in so many, for each that is wanted
	var out []string
	for _, name := range Mutations() {
		if randomFor(seed, name)%often < uint64(mean) {
			out = append(out, name)
		}
	}
	return out
}

// randomFor is what a name draws: whatever other names there are, it stays the same.
func randomFor(seed uint64, name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.NewPCG(seed, h.Sum64()).Uint64()
}

// Env returns values for T and P within g's bounds: their ends more often than
// chance would have it.
func Env(g *ir.Graph, seed uint64) sym.Env {
	r := rand.New(rand.NewPCG(seed, stream+1))
	b := g.Bounds
	var e sym.Env
	e.T = pick(r, b.TMin, min(b.TMax, b.SMax-b.PMin))
	e.P = pick(r, b.PMin, min(b.PMax, b.SMax-e.T))
	return e
}

func pick(r *rand.Rand, lo, hi int64) int64 {
	switch r.IntN(4) {
	case 0:
		return lo
	case 1:
		return hi
	}
	return lo + r.Int64N(hi-lo+1)
}

// randomOf returns a random element.
func randomOf[E any](r *rand.Rand, list ...E) E { return list[r.IntN(len(list))] }

// builder adds nodes to a graph; a wrong operand is a mistake of this package.
type builder struct {
	g   *ir.Graph
	r   *rand.Rand
	ids int // a counter for names
}

func newBuilder(r *rand.Rand, b sym.Bounds) *builder {
	return &builder{g: ir.NewGraph("random", b), r: r}
}

// drawBounds draws the ranges of T and P: symbolic, or T fixed at 1 as in decode.
func drawBounds(r *rand.Rand) sym.Bounds {
	context := int64(randomOf(r, 16, 24, 40))
	b := sym.Bounds{TMin: 1, TMax: randomOf(r, 1, 1, 4, 9, context), PMin: 0, PMax: context - 1, SMax: context}
	b.PMax = min(b.PMax, b.SMax-b.TMin)
	return b
}

func (b *builder) add(op ir.Op, label string, a ir.Attr, args ...*ir.Value) *ir.Value {
	v, err := b.g.Add(op, label, a, args...)
	if err != nil {
		panic("irgen: " + err.Error())
	}
	return v
}

// param adds a param with a name of its own that starts with name.
func (b *builder) param(kind ir.ParamKind, name string, t dtype.Type, dims ...sym.Dim) *ir.Value {
	for _, p := range b.g.Params {
		if p.Param.Name == name {
			b.ids++
			name = fmt.Sprintf("%s.%d", name, b.ids)
			break
		}
	}
	return b.g.Param(kind, name, ir.TypeOf(t, dims...))
}

// weight adds a matrix of a random dtype that its rows can be cut into.
func (b *builder) weight(name string, rows, cols int64) *ir.Value {
	t := randomOf(b.r, dtype.F32, dtype.F16, dtype.F16, dtype.BF16)
	if b.r.IntN(4) == 0 {
		all := dtype.AllButAffine()
		for i, q := range dtype.Affines() {
			if i%13 == 0 { // of each number of bits some
				all = append(all, q)
			}
		}
		if q := all[b.r.IntN(len(all))]; q.Quantised() {
			if elems, _ := q.Block(); cols%int64(elems) == 0 {
				t = q
			}
		}
	}
	return b.param(ir.Weight, name, t, sym.Const(rows), sym.Const(cols))
}

func (b *builder) vector(name string, n int64) *ir.Value {
	return b.param(ir.Weight, name, dtype.F32, sym.Const(n))
}

// finish returns the graph, checked.
func (b *builder) finish() *ir.Graph {
	if b.g.Bounds.TMax == 1 {
		g, err := b.g.Specialise(1)
		if err != nil {
			panic("irgen: " + err.Error())
		}
		b.g = g
	}
	if err := ir.Verify(b.g); err != nil {
		panic("irgen: " + err.Error())
	}
	return b.g
}
