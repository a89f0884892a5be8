package oracle

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Random draws a Config: hidden sizes of 40 to 512, heads of 32 to 128, one to eight
// query heads a key head, one to three layers, every weight format, alone and mixed, GGUF's and MLX's.
func Random(seed uint64) Config {
	r := rand.New(rand.NewPCG(seed, 1))
	c := Config{
		Layers: 1 + r.IntN(3), Vocab: 72 + 8*r.IntN(40), GGUF: r.IntN(2) == 0, Tied: r.IntN(2) == 0,
		NormEps: pick(r, 1e-6, 1e-5), RopeTheta: pick(r, 1e4, 1e6, 5e5),
	}
	switch kind := r.IntN(8); {
	case kind < 3:
		c.Formats = []Format{pick(r, Plain[:]...)}
	case kind < 6:
		c.Formats, c.GGUF = []Format{pick(r, Blocks[:]...)}, true
	case kind < 7:
		c.GGUF = false
		for range 1 + 2*r.IntN(2) {
			c.Formats = append(c.Formats, pick(r, mlxFormats()...))
		}
	default:
		c.GGUF = true
		for range 5 {
			c.Formats = append(c.Formats, pick(r, append(Blocks[:], Plain[:]...)...))
		}
	}
	unit := 8
	for _, f := range c.Formats {
		unit = max(unit, f.format().elems)
	}
	c.Hidden = unit * (1 + r.IntN(max(2, 320/unit)))
	for c.Hidden < 40 {
		c.Hidden += unit
	}
	c.Intermediate = unit * (1 + r.IntN(max(2, 512/unit)))
	for {
		c.HeadDim = pick(r, 32, 64, 80, 96, 128)
		c.KVHeads = 1 + r.IntN(3)
		c.Heads = c.KVHeads * (1 + r.IntN(8))
		if width := c.Heads * c.HeadDim; width%unit == 0 && width <= 1024 {
			return c
		}
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// gains are the sizes of what the matrices of a layer give for an operand of size 1,
// such that scores, both branches and the residual stream are of the same order.
var gains = []struct {
	name       string
	gain       float64
	bias       float64
	rows, cols func(c Config) int
	lift       int // the power of the checkpoint's lift that goes into it
}{
	{"self_attn.q_proj", 1, 0.3, queries, hidden, 2},
	{"self_attn.k_proj", 1, 0.3, keys, hidden, 2},
	{"self_attn.v_proj", 1, 0.3, keys, hidden, 1},
	{"self_attn.o_proj", 2, 0, hidden, queries, 1},
	{"mlp.gate_proj", 1.5, 0, intermediate, hidden, 2},
	{"mlp.up_proj", 1, 0, intermediate, hidden, 1},
	{"mlp.down_proj", 4, 0, hidden, intermediate, 1},
}

func hidden(c Config) int       { return c.Hidden }
func intermediate(c Config) int { return c.Intermediate }
func queries(c Config) int      { return c.Heads * c.HeadDim }
func keys(c Config) int         { return c.KVHeads * c.HeadDim }

// Generate draws a checkpoint's weights.
//
// Formats with halves as scales hold 2^-14 to 65504, and the weights of a layer lie
// near its lower end. So that there is room to Rescale in both directions, they are
// lifted: the norms before a layer's matrices are 2^-2e smaller; q, k and gate are
// 2^2e larger; v and up 2^e, which leaves their results 2^-e smaller; o and down 2^e.
func Generate(c Config, seed uint64) *Checkpoint {
	g := generator{r: rand.New(rand.NewPCG(seed, 2)), out: &Checkpoint{c, map[string]tensor{}}}
	e := g.lift()
	g.matrix("model.embed_tokens.weight", c.Vocab, c.Hidden, 1)
	for n := range c.Layers {
		for _, norm := range []string{"input_layernorm.weight", "post_attention_layernorm.weight"} {
			g.vector(layerName(n, norm), c.Hidden, 1, 0.3, -2*e)
		}
		if c.HeadNorms {
			g.headNorms(n)
		}
		for _, m := range gains {
			rows, cols := m.rows(c), m.cols(c)
			g.matrix(layerName(n, m.name+".weight"), rows, cols, math.Ldexp(m.gain/math.Sqrt(float64(cols)), m.lift*e))
			if m.bias > 0 && !c.HeadNorms {
				g.vector(layerName(n, m.name+".bias"), rows, 0, m.bias, (m.lift-2)*e)
			}
		}
	}
	g.vector("model.norm.weight", c.Hidden, 1, 0.3, 0)
	if !c.Tied {
		g.matrix("lm_head.weight", c.Vocab, c.Hidden, 1)
	}
	return g.out
}

// generator draws tensors into out.
type generator struct {
	r        *rand.Rand
	out      *Checkpoint
	matrices int // drawn so far
}

// lift is the e of Generate: what brings the least scale of q, k and gate to 2^4, or
// less where a second one has to fit above it,
// between the formats' wishes where there are several.
func (g *generator) lift() int {
	var lifts []float64
	for _, f := range g.out.Formats {
		if f := f.format(); f.number.greatest == half.greatest {
			least := math.Log2(1 / (8 * f.spread * math.Sqrt(float64(g.out.Hidden))))
			second := math.Log2(max(1, math.Abs(f.offset))) // how much larger the second scale is
			lifts = append(lifts, (4-second/2-least)/2)
		}
	}
	if lifts == nil {
		return 0
	}
	return int(math.Round((slices.Min(lifts) + slices.Max(lifts)) / 2))
}

// matrix draws elements with mean 0 and the standard deviation given: random levels
// under scales of either sign, or single numbers that are nowhere much smaller than
// the others, so that all of them stay normal when they are rescaled.
func (g *generator) matrix(name string, rows, cols int, deviation float64) {
	form := g.out.Formats[g.matrices%len(g.out.Formats)]
	g.matrices++
	f := form.format()
	data := make([]byte, rows*cols/f.elems*f.bytes)
	for at := 0; at < len(data); at += f.bytes {
		b := data[at:][:f.bytes]
		for i := range b {
			b[i] = byte(g.r.Uint32())
		}
		if f.minima != nil {
			f.minima(g.r, b)
		}
		first := deviation / f.spread * g.sign() * (0.5 + g.r.Float64())
		if f.elems == 1 {
			first = deviation * g.normal()
		}
		f.number.put(b[f.scales[0]:], first)
		if len(f.scales) > 1 {
			f.number.put(b[f.scales[1]:], first*f.offset*(0.95+0.1*g.r.Float64()))
		}
	}
	g.out.tensors[name] = tensor{[]int{rows, cols}, form, data}
}

// vector draws (mean + deviation x) 2^k.
func (g *generator) vector(name string, n int, mean, deviation float64, k int) {
	values := make([]float64, n)
	for i := range values {
		values[i] = math.Ldexp(mean+deviation*g.normal(), k)
	}
	g.store(name, values)
}

// store keeps the values of a vector: as bf16 in a checkpoint that is bf16 all through, as
// published ones are, and as f32 otherwise.
func (g *generator) store(name string, values []float64) {
	form := F32
	if !g.out.GGUF && g.out.Formats[0] == BF16 {
		form = BF16
	}
	f := form.format()
	data := make([]byte, len(values)*f.bytes)
	for i, v := range values {
		f.number.put(data[i*f.bytes:], v)
	}
	g.out.tensors[name] = tensor{[]int{len(values)}, form, data}
}

// headNorms draws the gammas of a layer's q and k, from 2^-4 to 2^4, alike for the two
// elements that are turned together, with those of k small where those of q are large, so
// that scores stay of order one.
func (g *generator) headNorms(n int) {
	q, k := make([]float64, g.out.HeadDim), make([]float64, g.out.HeadDim)
	half := g.out.HeadDim / 2
	for i := range half {
		far := math.Exp2(8*g.r.Float64() - 4)
		for _, j := range []int{i, i + half} {
			q[j], k[j] = g.sign()*far, (0.5+g.r.Float64())/far
		}
	}
	g.store(layerName(n, "self_attn.q_norm.weight"), q)
	g.store(layerName(n, "self_attn.k_norm.weight"), k)
}

func (g *generator) sign() float64 { return float64(2*g.r.IntN(2) - 1) }

// normal is a normal deviate of magnitude 1/8 to 3.
func (g *generator) normal() float64 {
	for {
		if v := g.r.NormFloat64(); math.Abs(v) >= 0.125 && math.Abs(v) <= 3 {
			return v
		}
	}
}

// IDs draws n tokens.
func (c Config) IDs(n int, seed uint64) []int32 {
	r := rand.New(rand.NewPCG(seed, 3))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(r.IntN(c.Vocab))
	}
	return ids
}
