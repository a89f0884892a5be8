// Package seeded turns a graph and a seed into inputs, weights and caches of sane
// scale: what `foundry verify`, benchmarks and property tests run graphs on. The
// same seed gives the same numbers on every machine.
//
// Read next: ir/irgen, which makes graphs by seed, too.
package seeded

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sym"
)

// The numbers. A param's name and the seed give a state s = FNV-1a-64(name) xor
// seed * 0x9E3779B97F4A7C15; element i, row-major from 0, takes the SplitMix64
// output for state s + (i+1) * 0x9E3779B97F4A7C15; its upper 24 bits make r in
// [-1, 1). The value is r * scale + offset, by what the graph does with the param:
//
//	weight of a norm                  1/4, 1
//	second operand of an add or mul   1/4, 0
//	frequencies of a rope             1/2, 1/2
//	settings and numbers of a sample  1/2, 1/2
//	matrix of K columns               sqrt(3/K), 0
//	all else                          1, 0
//
// The first row that fits one of its uses counts. What g does with a param is read
// off g itself, so every form of a graph that passes make must be given the numbers
// of the one form they started from.
//
// Ids take a whole number below the smallest vocabulary that they meet. A type
// that cannot be quantised to (the K formats) gets random levels under scales
// that give values of about the same size.

const golden = 0x9E3779B97F4A7C15

// numbers is the stream of one param.
type numbers uint64

func numbersOf(name string, seed uint64) numbers {
	h := fnv.New64a()
	h.Write([]byte(name))
	return numbers(h.Sum64() ^ seed*golden)
}

// bits returns element i's 64 random bits.
func (n numbers) bits(i int) uint64 {
	z := uint64(n) + (uint64(i)+1)*golden
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// unit returns element i's r.
func (n numbers) unit(i int) float32 {
	return float32(int64(n.bits(i)>>40)-1<<23) * 0x1p-23
}

func (n numbers) floats(count int, scale, offset float32) []float32 {
	out := make([]float32, count)
	for i := range out {
		out[i] = float32(n.unit(i)*scale) + offset
	}
	return out
}

// Inputs returns a value for each input param of g.
func Inputs(g *ir.Graph, e sym.Env, seed uint64) map[string]interp.Tensor {
	out := map[string]interp.Tensor{}
	for _, p := range params(g, ir.Input) {
		shape, count := p.Type.Shape.Eval(e), int(p.Type.Shape.Elems(e))
		n := numbersOf(p.Param.Name, seed)
		if p.Type.DType == dtype.I32 {
			ids, vocab := make([]int32, count), vocabulary(p)
			for i := range ids {
				ids[i] = int32(n.bits(i) % vocab)
			}
			out[p.Param.Name] = interp.Ints(ids, shape...)
			continue
		}
		out[p.Param.Name] = interp.Stored(p.Type.DType, stored(p, n, count), shape...)
	}
	return out
}

// Weights returns a source of g's weights, in stored form.
func Weights(g *ir.Graph, seed uint64) interp.Source {
	byName := map[string]*ir.Value{}
	for _, p := range params(g, ir.Weight) {
		byName[p.Param.Name] = p
	}
	return func(name string, t ir.Type) (interp.Tensor, error) {
		p := byName[name]
		if p == nil || p.Type != t {
			return interp.Tensor{}, fmt.Errorf("graph @%s has no weight %q of type %s", g.Name, name, t)
		}
		shape := t.Shape.Eval(sym.Env{})
		data := stored(p, numbersOf(name, seed), int(t.Shape.Elems(sym.Env{})))
		return interp.Stored(t.DType, data, shape...), nil
	}
}

// FillState gives every cache of s random values, its unwritten rows too.
func FillState(s *interp.State, seed uint64) error {
	for _, name := range s.Names() {
		t, err := s.Tensor(name)
		if err != nil {
			return err
		}
		if err := s.Set(name, numbersOf(name, seed).floats(t.Len(), 1, 0)); err != nil {
			return err
		}
	}
	return nil
}

// stored returns a param's values as elements or blocks of its type.
func stored(p *ir.Value, n numbers, count int) []byte {
	t := p.Type.DType
	out := make([]byte, t.Bytes(int64(count)))
	switch {
	case t == dtype.I32:
		for i, vocab := 0, vocabulary(p); i < count; i++ {
			binary.LittleEndian.PutUint32(out[4*i:], uint32(n.bits(i)%vocab))
		}
	case t.Float() || t.CanQuantise() && !hasRandomBlocks(t):
		scale, offset := spread(p)
		dtype.Quantise(t, n.floats(count, scale, offset), out)
	default:
		scale, _ := spread(p)
		randomBlocks(t, n, float64(scale), out)
	}
	return out
}

// params returns g's params of one kind as they stand in a copy of g without
// regions, where their users say all about their use.
func params(g *ir.Graph, kind ir.ParamKind) []*ir.Value {
	flat := g.Clone()
	flat.InlineAll()
	var out []*ir.Value
	for _, p := range flat.Params {
		if p.Param.Kind == kind {
			out = append(out, p)
		}
	}
	return out
}

// spread returns the scale and offset of a param's values, whatever the order of
// its uses.
func spread(p *ir.Value) (scale, offset float32) {
	const none = 5
	first := none
	for _, n := range p.Users() {
		last := len(n.Args) > 1 && n.Args[len(n.Args)-1] == p
		switch {
		case n.Op == ir.OpSample && (n.Args[1] == p || n.Args[2] == p):
			first = min(first, 3)
		case !last:
		case n.Op == ir.OpRMSNorm || n.Op == ir.OpRMSScale:
			first = min(first, 0)
		case n.Op.Is(ir.Commutative):
			first = min(first, 1)
		case n.Op == ir.OpRope:
			first = min(first, 2)
		case n.Op == ir.OpMatmulNT:
			first = min(first, 4)
		}
	}
	cols := int64(1)
	if first == 4 {
		cols, _ = p.Type.Shape.At(1).Const()
	}
	return [...]float32{0.25, 0.25, 0.5, 0.5, float32(math.Sqrt(3 / float64(max(1, cols)))), 1}[first],
		[...]float32{1, 0, 0.5, 0.5, 0, 0}[first]
}

// vocabulary returns how many ids an i32 value may hold: the rows of the smallest
// table that it, or a view of it, is looked up in.
func vocabulary(v *ir.Value) uint64 {
	least := uint64(math.MaxInt32)
	for _, n := range v.Users() {
		switch n.Op {
		case ir.OpEmbedding:
			rows, _ := n.Args[1].Type.Shape.At(0).Const()
			least = min(least, uint64(max(1, rows)))
			continue
		case ir.OpSample:
			least = min(least, uint64(max(1, n.Args[0].Type.Shape.At(1).C)))
			continue
		case ir.OpRandomUniform:
			continue
		}
		least = min(least, vocabulary(n.Result()))
	}
	return least
}

// hasRandomBlocks reports whether blocks of a type are random in more than the values
// would make them: the K formats, whose small scales are, and what is only read.
func hasRandomBlocks(t dtype.Type) bool {
	per, _ := t.Block()
	return t.Quantised() && (per == 256 || !t.CanQuantise())
}

// randomBlocks fills blocks: every level, and every small scale or zero point, is
// random, under the block's scales that give values up to about scale.
func randomBlocks(t dtype.Type, n numbers, scale float64, out []byte) {
	for i := range out {
		out[i] = byte(n.bits(i) >> 56)
	}
	half := func(at int, f float64) {
		binary.LittleEndian.PutUint16(out[at:], dtype.F32ToF16(float32(f)))
	}
	_, size := t.Block()
	a, affine := t.Affine()
	for at := 0; at < len(out); at += size {
		if affine {
			zero := out[at] // a random byte still
			step := float32(scale) / float32(int(1)<<(a.Bits-1))
			if zero&1 == 1 {
				step = -step
			}
			s, z, _ := a.Split(out[at : at+size])
			dtype.Quantise(a.Scales, []float32{step}, s)
			dtype.Quantise(a.Scales, []float32{float32(int(zero) % (1<<a.Bits + 1))}, z)
			continue
		}
		switch t {
		case dtype.Q4_K, dtype.Q5_K: // d, dmin: d * 6-bit scale * level - dmin * 6-bit minimum
			levels := 15.0
			if t == dtype.Q5_K {
				levels = 31
			}
			d := 2 * scale / (63 * levels)
			half(at, d)
			half(at+2, d*levels/2)
		case dtype.Q6_K: // d at the end: d * 8-bit scale * level -32..31
			half(at+size-2, scale/(127*32))
		case dtype.Q2_K: // d, dmin at the end: d * 4-bit scale * level - dmin * 4-bit minimum
			d := 2 * scale / (15 * 3)
			half(at+size-4, d)
			half(at+size-2, d*1.5)
		case dtype.Q3_K: // d at the end: d * 6-bit scale * level -4..3
			half(at+size-2, scale/(32*4))
		case dtype.IQ4_NL: // d * a value of up to 127
			half(at, scale/127)
		case dtype.IQ4_XS: // d * 6-bit scale * a value of up to 127
			half(at, scale/(32*127))
		default:
			panic(fmt.Sprintf("seeded: no random blocks of %v", t))
		}
	}
}
