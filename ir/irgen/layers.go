package irgen

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// mutations are the names that Layers knows, and what each changes in one layer
// (or, for those of the head, at the end). After "same:" nothing that matters to
// a fusion changes: it must match as before.
var mutations = map[string]string{
	"norm-used":       "the attention norm's result is returned too",
	"post-norm-used":  "the MLP norm's result is returned too",
	"shared-norm":     "same: both norms of the layer have one weight",
	"proj-used":       "q_proj's result is returned before its bias",
	"fourth-proj":     "the norm's result has a fourth product",
	"no-bias":         "one of q, k, v has no bias",
	"row-bias":        "one bias has a row for each token",
	"shared-proj":     "k and v have one weight",
	"k-from-x":        "k_proj reads x, not the norm's result",
	"v-roped":         "v is rotated too",
	"head-norms":      "each head of q and k is normed before its rotation",
	"q-head-norm":     "each head of q is normed before its rotation, but not of k",
	"k-not-roped":     "k is not rotated",
	"rope-start":      "k's rope starts at 0",
	"rope-table":      "q and k have tables of their own",
	"rope-used":       "rotated k is returned too",
	"write-start":     "v is written one row later than k",
	"no-cache":        "attention reads this run's k and v only",
	"not-causal":      "softmax sees every column",
	"causal-start":    "softmax's mask starts at 0",
	"scores-used":     "the scores are returned too",
	"probs-used":      "the softmax's result is returned too",
	"probs-scaled":    "the softmax's result is scaled a column before the last product",
	"two-pv":          "the softmax's result is multiplied by k as well",
	"scale-one":       "the scores have scale 1",
	"repeat-used":     "k_repeat's result is returned too",
	"k-repeat-cast":   "k_repeat's result is widened before the product",
	"v-repeat-used":   "v_repeat's result is returned too",
	"repeat-cast":     "v_repeat's result is widened before the product",
	"repeat-k-only":   "v is not repeated",
	"no-repeat":       "same: neither k nor v is repeated",
	"masked-scores":   "a bias row is added to the scores",
	"head-major":      "the heads are not brought together: o_proj is a product a head",
	"o-used":          "o_proj's result is returned too",
	"resid-swapped":   "same: the residual stands first",
	"resid-row":       "o_proj gets a bias, not the residual",
	"down-resid-row":  "down_proj gets a bias, not the residual",
	"down-used":       "down_proj's result is returned too",
	"resid-twice":     "o_proj's result is added to itself",
	"no-resid":        "down_proj has no residual",
	"mul-swapped":     "same: up stands first in the product",
	"gate-used":       "gate_proj's result is returned too",
	"silu-used":       "silu's result is returned too",
	"silu-added":      "silu's result is added to the product too",
	"swiglu-used":     "the product of gate and up is returned too",
	"no-silu":         "gate and up are multiplied as they are",
	"silu-up":         "silu is taken of the product",
	"gate-bias":       "gate_proj has a bias",
	"shared-gate":     "gate and up have one weight",
	"up-from-x":       "up_proj reads x, not the norm's result",
	"no-norm":         "the MLP has no norm",
	"one-norm":        "the MLP reads the attention norm's result",
	"cast-between":    "the product of gate and up is narrowed to f16 and widened again",
	"all-rows":        "lm_head takes every row",
	"final-norm-used": "the final norm's result is returned too",
	"embedding-used":  "the embedding's result is returned too",
}

// Mutations lists the names that Layers takes, sorted.
func Mutations() []string {
	out := make([]string, 0, len(mutations))
	for name := range mutations {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Mutation says what the named mutation changes; "" for an unknown one.
func Mutation(name string) string { return mutations[name] }

// layers builds pieces of a model.
type layers struct {
	*builder
	mutations                                   []string
	hidden, inter, heads, kvHeads, width, vocab int64
	layer                                       int
	window                                      int  // columns that a row of a softmax sees; 0: all
	sampled                                     bool // a token is a sample of the logits, not the largest
	here                                        bool // the mutations of this layer
	freq                                        *ir.Value
}

// Layers returns one or two layers of a Qwen2.5 model with random sizes, with or
// without embedding, attention, MLP and head, and with the named mutations. It
// panics for an unknown name.
func Layers(r *rand.Rand, names ...string) *ir.Graph {
	for _, n := range names {
		if mutations[n] == "" {
			panic(fmt.Sprintf("irgen: unknown mutation %q", n))
		}
	}
	l := &layers{builder: newBuilder(r, drawBounds(r)), mutations: names}
	l.kvHeads = randomOf[int64](r, 1, 1, 2)
	l.heads = l.kvHeads * randomOf[int64](r, 1, 2, 3)
	l.width = randomOf[int64](r, 8, 16, 32, 64)
	l.hidden = randomOf[int64](r, 32, 64, 96, 256)
	l.inter = randomOf[int64](r, 32, 64, 160, 256)
	l.vocab = randomOf[int64](r, 33, 64, 257)
	l.build()
	return l.finish()
}

func (l *layers) has(name string) bool { return l.here && slices.Contains(l.mutations, name) }

func (l *layers) name(part string) string { return fmt.Sprintf("layers.%d.%s", l.layer, part) }

func (l *layers) node(op ir.Op, part string, a ir.Attr, args ...*ir.Value) *ir.Value {
	return l.add(op, l.name(part), a, args...)
}

// expose returns v as a result where the mutation is on.
func (l *layers) expose(mutation string, v *ir.Value) {
	if l.has(mutation) {
		l.g.Return(fmt.Sprintf("seen.%d.%s", l.layer, mutation), v)
	}
}

func (l *layers) build() {
	count := 1 + l.r.IntN(2)
	target := l.r.IntN(count)
	attention, mlp := true, true
	switch l.r.IntN(6) {
	case 0:
		mlp = false
	case 1:
		attention = false
	}
	x := l.start()
	for l.layer = range count {
		l.here = l.layer == target
		if attention {
			x = l.attention(x)
		}
		if mlp {
			x = l.mlp(x)
		}
	}
	l.here = true
	l.head(x)
}

// start makes the residual stream: an embedding, or an input.
func (l *layers) start() *ir.Value {
	l.here = true
	freq := make([]float32, l.width/2)
	for i := range freq {
		freq[i] = float32(math.Pow(1e4, -2*float64(i)/float64(l.width)))
	}
	l.freq = l.g.ConstParam("rope.inv_freq", ir.TypeOf(dtype.F32, sym.Const(l.width/2)), freq)
	if l.r.IntN(2) == 0 {
		return l.param(ir.Input, "x", dtype.F32, sym.T, sym.Const(l.hidden))
	}
	ids := l.param(ir.Input, "ids", dtype.I32, sym.T)
	x := l.add(ir.OpEmbedding, "embed", ir.Attr{}, ids, l.weight("embed_tokens", l.vocab, l.hidden))
	l.expose("embedding-used", x)
	return x
}

func (l *layers) norm(part string, x *ir.Value, weight *ir.Value) *ir.Value {
	if weight == nil {
		weight = l.vector(l.name(part+".weight"), l.hidden)
	}
	return l.node(ir.OpRMSNorm, part, ir.Attr{Eps: 1e-6}, x, weight)
}

func (l *layers) head(x *ir.Value) {
	if l.r.IntN(3) == 0 {
		l.g.Return("y", x)
		return
	}
	if !l.has("all-rows") {
		x = l.add(ir.OpSlice, "last_row", ir.Attr{Start: sym.T.Sub(sym.Const(1)), Size: sym.Const(1)}, x)
	}
	h := l.add(ir.OpRMSNorm, "final_norm", ir.Attr{Eps: 1e-6}, x, l.vector("norm.weight", l.hidden))
	l.expose("final-norm-used", h)
	logits := l.add(ir.OpMatmulNT, "lm_head", ir.Attr{}, h, l.weight("lm_head", l.vocab, l.hidden))
	l.g.Return("logits", logits)
	if l.r.IntN(2) == 0 {
		l.g.Return("token", l.pick(logits))
	}
}
