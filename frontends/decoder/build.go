package decoder

import (
	"errors"
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// BuildOptions are the choices that shape the graph's types and bounds.
type BuildOptions struct {
	Context int // tokens a cache holds, at most MaxPositions
	Chunk   int // most tokens of one run, at most Context
	Weights dtype.Type
	// WeightType may give a matrix, by its Hugging Face name, another dtype than
	// Weights; nil or dtype.Invalid keeps it. Norm weights and biases are f32.
	WeightType func(name string) dtype.Type
	Cache      dtype.Type // dtype of the caches: f32 or f16
	AllLogits  bool       // logits of every row, not of the last one
}

// Build emits the model as a graph named "prefill" with T = 1..Chunk new tokens
// after P cached ones: input "ids" i32[T]; results "logits" f32[1, Vocab] (f32[T,
// Vocab] with AllLogits), "token" i32[1], the last row's argmax, and each
// cache's successor under the cache's own name, "layers.N.k" and "layers.N.v".
func Build(c Config, o BuildOptions) (*ir.Graph, error) {
	if err := o.check(c); err != nil {
		return nil, err
	}
	g := ir.NewGraph("prefill", sym.Bounds{
		TMin: 1, TMax: int64(o.Chunk), PMin: 0, PMax: int64(o.Context - 1), SMax: int64(o.Context),
	})
	b := &builder{Builder: ir.Builder{Graph: g}, c: c, o: o, tensors: make(map[string][]int64)}
	for _, w := range Weights(c) {
		b.tensors[w.Name] = w.Shape
	}
	b.model()
	if err := b.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", c.ModelType, err)
	}
	return g, nil
}

func (o *BuildOptions) check(c Config) error {
	if err := c.CheckContext(o.Context); err != nil {
		return err
	}
	switch {
	case c.ModelType == "":
		return errors.New("the configuration is of no family: its ModelType is empty")
	case o.Chunk < 1 || o.Chunk > o.Context:
		return fmt.Errorf("chunk is %d, want 1 to the context, %d", o.Chunk, o.Context)
	case o.Cache != dtype.F32 && o.Cache != dtype.F16:
		return fmt.Errorf("cache dtype is %s, want f32 or f16", o.Cache)
	case !o.Weights.Float() && !o.Weights.Quantised():
		return fmt.Errorf("weights dtype is %s, want a float or quantised one", o.Weights)
	}
	return nil
}

// builder emits one model. b.prefix stands in front of every label.
type builder struct {
	ir.Builder
	c       Config
	o       BuildOptions
	tensors map[string][]int64
	prefix  string
	outputs []ir.Result // caches after the step, returned last
}

func (b *builder) op(op ir.Op, label string, a ir.Attr, args ...*ir.Value) *ir.Value {
	return b.Add(op, b.prefix+label, a, args...)
}

func (b *builder) weight(name string) *ir.Value {
	shape := b.tensors[name]
	dims := make([]sym.Dim, len(shape))
	for i, n := range shape {
		dims[i] = sym.Const(n)
	}
	t := dtype.F32
	if len(shape) > 1 {
		t = b.o.Weights
		if b.o.WeightType != nil {
			if special := b.o.WeightType(name); special != dtype.Invalid {
				t = special
			}
		}
	}
	return b.Graph.Param(ir.Weight, name, ir.TypeOf(t, dims...))
}

func (b *builder) norm(label string, x *ir.Value, weight string) *ir.Value {
	return b.op(ir.OpRMSNorm, label, ir.Attr{Eps: b.c.NormEps}, x, b.weight(weight))
}

func (b *builder) matmul(label string, x *ir.Value, weight string) *ir.Value {
	return b.op(ir.OpMatmulNT, label, ir.Attr{}, x, b.weight(weight))
}

func (b *builder) model() {
	ids := b.Graph.Param(ir.Input, "ids", ir.TypeOf(dtype.I32, sym.T))
	embed := b.weight(embedName)
	invFreq := b.Graph.ConstParam("rope.inv_freq", ir.TypeOf(dtype.F32, sym.Const(int64(b.c.HeadDim/2))), b.c.InvFreq())
	x := b.op(ir.OpEmbedding, "embed", ir.Attr{}, ids, embed)
	for n := range b.c.Layers {
		x = b.layer(n, x, invFreq)
	}
	lastRow := ir.Attr{Axis: 0, Start: sym.T.Sub(sym.Const(1)), Size: sym.Const(1)}
	if !b.o.AllLogits {
		x = b.op(ir.OpSlice, "last_row", lastRow, x)
	}
	x = b.norm("final_norm", x, finalNormName)
	head := embed
	if !b.c.Tied {
		head = b.weight(headName)
	}
	logits := b.op(ir.OpMatmulNT, "lm_head", ir.Attr{}, x, head)
	last := logits
	if b.o.AllLogits {
		last = b.op(ir.OpSlice, "last_row", lastRow, logits)
	}
	token := b.op(ir.OpArgmax, "argmax", ir.Attr{}, last)
	b.Graph.Return("logits", logits)
	b.Graph.Return("token", token)
	b.Graph.Results = append(b.Graph.Results, b.outputs...)
}

// layer emits decoder layer n on the residual stream x, f32[T, Hidden].
func (b *builder) layer(n int, x, invFreq *ir.Value) *ir.Value {
	b.prefix = fmt.Sprintf("layers.%d.", n)
	defer func() { b.prefix = "" }()
	w := func(name string) string { return layerWeight(n, name) }

	h := b.norm("input_norm", x, w("input_layernorm.weight"))
	q := b.heads(n, "q", h, b.c.Heads)
	k := b.heads(n, "k", h, b.c.KVHeads)
	v := b.heads(n, "v", h, b.c.KVHeads)
	if b.c.HeadNorms {
		q = b.norm("q_norm", q, w("self_attn.q_norm.weight"))
		k = b.norm("k_norm", k, w("self_attn.k_norm.weight"))
	}
	q = b.op(ir.OpRope, "q_rope", ir.Attr{Start: sym.P}, q, invFreq)
	k = b.op(ir.OpRope, "k_rope", ir.Attr{Start: sym.P}, k, invFreq)
	h = b.attention(q, b.cache("k", k), b.cache("v", v), b.c.windowOf(n))
	x = b.op(ir.OpAdd, "resid_attn", ir.Attr{}, b.matmul("o_proj", h, w("self_attn.o_proj.weight")), x)

	h = b.norm("post_norm", x, w("post_attention_layernorm.weight"))
	gate := b.matmul("gate_proj", h, w("mlp.gate_proj.weight"))
	up := b.matmul("up_proj", h, w("mlp.up_proj.weight"))
	h = b.op(ir.OpMul, "mul", ir.Attr{}, b.op(ir.OpSilu, "silu", ir.Attr{}, gate), up)
	return b.op(ir.OpAdd, "resid_mlp", ir.Attr{}, b.matmul("down_proj", h, w("mlp.down_proj.weight")), x)
}

// heads emits projection, bias where there is one, and head layout of q, k or v:
// f32[heads, T, HeadDim].
func (b *builder) heads(n int, name string, x *ir.Value, heads int) *ir.Value {
	y := b.matmul(name+"_proj", x, layerWeight(n, "self_attn."+name+"_proj.weight"))
	if b.c.QKVBias {
		y = b.op(ir.OpAdd, name+"_bias", ir.Attr{}, y, b.weight(layerWeight(n, "self_attn."+name+"_proj.bias")))
	}
	return b.op(ir.OpKVRearrange, name+"_heads", ir.Attr{Heads: heads}, y)
}

// cache writes x, f32[KVHeads, T, HeadDim], behind what is cached, and returns
// all that is cached then, repeated to the query heads: [Heads, S, HeadDim].
func (b *builder) cache(name string, x *ir.Value) *ir.Value {
	dims := []sym.Dim{sym.Const(int64(b.c.KVHeads)), sym.Const(int64(b.o.Context)), sym.Const(int64(b.c.HeadDim))}
	state := b.Graph.Param(ir.State, b.prefix+name, ir.TypeOf(b.o.Cache, dims...))
	next := b.op(ir.OpKVWrite, name+"_write", ir.Attr{Start: sym.P}, state, x)
	b.outputs = append(b.outputs, ir.Result{Name: b.prefix + name, Value: next})
	view := b.op(ir.OpSlice, name+"_view", ir.Attr{Axis: 1, Size: sym.S}, next)
	return b.op(ir.OpRepeatKV, name+"_repeat", ir.Attr{Times: b.c.Heads / b.c.KVHeads}, view)
}

// attention returns f32[T, Heads*HeadDim] of q, k and v in head layout, of a token and
// those before it: of so many as the window has, where that is not 0.
func (b *builder) attention(q, k, v *ir.Value, window int) *ir.Value {
	scores := b.op(ir.OpBmmNT, "scores", ir.Attr{Scale: b.c.scoreScale()}, q, k)
	weights := b.op(ir.OpSoftmax, "softmax", ir.Attr{Causal: true, Start: sym.P, Window: window}, scores)
	y := b.op(ir.OpBmmNN, "pv", ir.Attr{}, weights, v)
	y = b.op(ir.OpTranspose, "attn_heads", ir.Attr{Perm: [4]int8{1, 0, 2, 0}}, y)
	rows := ir.ShapeOf(sym.T, sym.Const(int64(b.c.Heads*b.c.HeadDim)))
	return b.op(ir.OpReshape, "attn_rows", ir.Attr{Shape: rows}, y)
}
