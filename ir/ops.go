package ir

import (
	"fmt"
	"iter"
)

// Op names a row of the op table.
type Op uint8

// The operations. Frontends emit these and never Fused, which passes form.
const (
	OpInvalid Op = iota
	OpEmbedding
	OpRMSNorm
	OpSumSquares
	OpRMSScale
	OpMatmulNT
	OpAdd
	OpMul
	OpSilu
	OpRope
	OpKVRearrange
	OpKVWrite
	OpRepeatKV
	OpBmmNT
	OpBmmNN
	OpSoftmax
	OpArgmax
	OpSample
	OpArange
	OpOnes
	OpRandomUniform
	OpCast
	OpReshape
	OpSlice
	OpTranspose
	OpConcat
	OpFused
	numOps
)

// Trait is what passes and lowering ask of an op, instead of its name.
type Trait uint16

// The traits.
const (
	View        Trait = 1 << iota // the result is the operand's storage seen otherwise; no dispatch when its layout allows
	Elementwise                   // result element i depends on element i (or the broadcast one) of each operand
	Commutative                   // the two operands may change places
	Contraction                   // sums products over a dim: a matrix product
	RowReduce                     // reduces along the last dim
	AsPrologue                    // may make the operand of a main stage
	AsMain                        // may own a kernel's iteration space
	AsEpilogue                    // may work on a main's result before the store
	WritesState                   // overwrites the storage of operand 0, which must not be used later
)

// Rounding says what a device's arithmetic may do to an op's result; ir/interp bounds
// how far that goes.
type Rounding uint8

// The kinds of arithmetic.
const (
	Exact    Rounding = iota // values are moved, compared or rounded once
	Rounded                  // one rounded operation
	Summed                   // sums of many terms
	Function                 // exp, sin, cos and the like
)

// Info is one row of the op table.
type Info struct {
	Name    string
	Doc     string // one line: shapes, dtypes, meaning
	MinArgs int
	MaxArgs int // the most operands; -1: any number
	Fields  []Field
	Traits  Trait
	// Flops are the operations that an element of the result costs (of the operand,
	// where the op reduces); of a contraction they follow from its sums.
	Flops    int64
	Rounding Rounding
	// Infer returns the result's type, or what is wrong with the operands.
	Infer func(args []Type, a *Attr) (Type, error)
}

// Info returns the op's row.
func (o Op) Info() *Info {
	if o >= numOps {
		return &table[OpInvalid]
	}
	return &table[o]
}

// fields yields the attrs that a node of the op can have: those of its row, and a
// kernel where it becomes one.
func (o Op) fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for _, f := range o.Info().Fields {
			if !yield(f) {
				return
			}
		}
		if !o.Is(View) {
			yield(FieldKernel)
		}
	}
}

// String returns the op's name.
func (o Op) String() string { return o.Info().Name }

// Is reports whether the op has every trait of t.
func (o Op) Is(t Trait) bool { return o.Info().Traits&t == t }

// IsFunction reports whether the op is a function of one element and of the numbers in
// its attrs, so that whoever knows one such function knows them all.
func (o Op) IsFunction() bool {
	info := o.Info()
	for _, f := range info.Fields {
		if _, number := f.Number(&Attr{}); !number {
			return false
		}
	}
	return info.Traits&Elementwise != 0 && info.MinArgs == 1 && info.MaxArgs == 1
}

// Ops lists every valid op, Fused included, in table order.
func Ops() []Op {
	out := make([]Op, 0, numOps-1)
	for o := OpInvalid + 1; o < numOps; o++ {
		out = append(out, o)
	}
	return out
}

// ParseOp returns the op with the given name.
func ParseOp(name string) (Op, error) {
	for o := OpInvalid + 1; o < numOps; o++ {
		if table[o].Name == name {
			return o, nil
		}
	}
	return OpInvalid, fmt.Errorf("unknown op %q%s", name, didYouMean(name))
}

// table is the op table. Dims: T rows (tokens), H heads, D head_dim, C context.
// Operands are f32 unless the row says otherwise; w stands for a weight of any
// float or block-quantised dtype, c for the cache's dtype (f32 or f16).
var table = [numOps]Info{
	OpInvalid: {Name: "invalid", Infer: func([]Type, *Attr) (Type, error) { return Type{}, fmt.Errorf("not an op") }},
	OpEmbedding: {
		Name: "embedding", Doc: "i32[T], w[V, N] -> f32[T, N]: row ids[t] of the table; an id outside 0..V-1 is an error",
		MinArgs: 2, MaxArgs: 2, Traits: AsPrologue | AsMain, Infer: inferEmbedding,
	},
	OpRMSNorm: {
		Name: "rms_norm", Doc: "w[.., N], w[N] -> f32[.., N]: x / sqrt(mean(x²) + eps) * w along the last dim",
		MinArgs: 2, MaxArgs: 2, Fields: []Field{FieldEps}, Traits: RowReduce | AsPrologue | AsMain, Flops: 4, Rounding: Summed, Infer: inferRMSNorm,
	},
	OpSumSquares: {
		Name: "sum_squares", Doc: "[.., N] -> [.., N/size]: the sum of the squares of each run of size elements along the last dim",
		MinArgs: 1, MaxArgs: 1, Fields: []Field{FieldSize}, Traits: RowReduce | AsMain | AsEpilogue, Flops: 2, Rounding: Summed, Infer: inferSumSquares,
	},
	OpRMSScale: {
		Name: "rms_scale", Doc: "[.., N], [.., M], w[N] -> [.., N]: x / sqrt(sum(sums)/N + eps) * w, where sums is what sum_squares makes of x: rms_norm in two steps",
		MinArgs: 3, MaxArgs: 3, Fields: []Field{FieldEps}, Traits: RowReduce | AsPrologue | AsMain, Flops: 3, Rounding: Summed, Infer: inferRMSScale,
	},
	OpMatmulNT: {
		Name: "matmul_nt", Doc: "[M, K], w[N, K] -> [M, N]: x times w transposed",
		MinArgs: 2, MaxArgs: 2, Traits: Contraction | AsMain, Rounding: Summed, Infer: inferMatmulNT,
	},
	OpAdd: {
		Name: "add", Doc: "[..], [suffix of ..] -> [..]: a + b, b repeated over a's leading dims",
		MinArgs: 2, MaxArgs: 2, Traits: Elementwise | AsPrologue | AsMain | AsEpilogue | Commutative, Flops: 1, Rounding: Rounded, Infer: inferBroadcast,
	},
	OpMul: {
		Name: "mul", Doc: "[..], [suffix of ..] -> [..]: a * b, b repeated over a's leading dims",
		MinArgs: 2, MaxArgs: 2, Traits: Elementwise | AsPrologue | AsMain | AsEpilogue | Commutative, Flops: 1, Rounding: Rounded, Infer: inferBroadcast,
	},
	OpSilu: {
		Name: "silu", Doc: "[..] -> [..]: x / (1 + exp(-x))",
		MinArgs: 1, MaxArgs: 1, Traits: Elementwise | AsPrologue | AsMain | AsEpilogue, Flops: 8, Rounding: Function, Infer: inferSame,
	},
	OpRope: {
		Name: "rope", Doc: "[H, T, D], [D/2] -> [H, T, D]: rotates pairs (i, i + D/2) of row t by (start + t) * inv_freq[i]",
		MinArgs: 2, MaxArgs: 2, Fields: []Field{FieldStart}, Traits: AsPrologue | AsMain | AsEpilogue, Flops: 6, Rounding: Function, Infer: inferRope,
	},
	OpKVRearrange: {
		Name: "kv_rearrange", Doc: "[T, H*D] -> [H, T, D]: a projection's columns into attention layout",
		MinArgs: 1, MaxArgs: 1, Fields: []Field{FieldHeads}, Traits: AsMain | AsEpilogue, Infer: inferKVRearrange,
	},
	OpKVWrite: {
		Name: "kv_write", Doc: "c[H, C, D], [H, T, D] -> c[H, C, D]: the cache with rows start..start+T-1 replaced, narrowed to its dtype; shares the cache's storage",
		MinArgs: 2, MaxArgs: 2, Fields: []Field{FieldStart}, Traits: WritesState | AsMain | AsEpilogue, Infer: inferKVWrite,
	},
	OpRepeatKV: {
		Name: "repeat_kv", Doc: "c[H, S, D] -> c[H*times, S, D]: result head h is operand head h / times",
		MinArgs: 1, MaxArgs: 1, Fields: []Field{FieldTimes}, Traits: AsMain, Infer: inferRepeatKV,
	},
	OpBmmNT: {
		Name: "bmm_nt", Doc: "[H, M, K], c[G, N, K] -> [H, M, N]: scale * a times b transposed, a head at a time; G divides H and head h takes b's head h / (H/G)",
		MinArgs: 2, MaxArgs: 2, Fields: []Field{FieldScale}, Traits: Contraction | AsMain, Rounding: Summed, Infer: inferBmmNT,
	},
	OpBmmNN: {
		Name: "bmm_nn", Doc: "[H, M, K], c[G, K, N] -> [H, M, N]: a times b, a head at a time; G divides H and head h takes b's head h / (H/G)",
		MinArgs: 2, MaxArgs: 2, Traits: Contraction | AsMain, Rounding: Summed, Infer: inferBmmNN,
	},
	OpSoftmax: {
		Name: "softmax", Doc: "w[.., T, N] -> f32[.., T, N]: softmax along the last dim; causal: row t sees columns 0..start+t, with a window only the last of them, the others become 0",
		MinArgs: 1, MaxArgs: 1, Fields: []Field{FieldCausal, FieldStart, FieldWindow}, Traits: RowReduce | AsMain, Flops: 8, Rounding: Function, Infer: inferSoftmax,
	},
	OpArgmax: {
		Name: "argmax", Doc: "[T, V] -> i32[T]: index of each row's largest element, ties to the lowest",
		MinArgs: 1, MaxArgs: 1, Traits: RowReduce | AsMain, Flops: 1, Infer: inferArgmax,
	},
	OpSample: {
		Name: "sample", Doc: "[T, V], settings[5], u[T], i32[N] -> i32[T]: a token of each row of logits by the random number u[t], as ir/sampling defines it; settings are temperature, top-k, top-p, min-p and the repetition penalty of the N tokens seen",
		MinArgs: 4, MaxArgs: 4, Traits: RowReduce | AsMain, Flops: 24, Infer: inferSample,
	},
	OpArange: {
		Name: "arange", Doc: "-> [size]: start, start + 1, ...",
		Fields: []Field{FieldStart, FieldSize}, Traits: AsMain, Flops: 1, Infer: inferCreated,
	},
	OpOnes: {
		Name: "ones", Doc: "-> [size]: 1 everywhere",
		Fields: []Field{FieldSize}, Traits: AsMain, Infer: inferCreated,
	},
	OpRandomUniform: {
		Name: "random_uniform", Doc: "i32[3] -> [size]: random numbers in [0, 1), multiples of 2^-24, of a seed (low word, high word) and a counter; number i is word i%4 of Philox4x32-10 of (counter, i/4, 0, 0)",
		MinArgs: 1, MaxArgs: 1, Fields: []Field{FieldSize}, Traits: AsMain, Flops: 16, Infer: inferRandomUniform,
	},
	OpCast: {
		Name: "cast", Doc: "t[..] -> to[..]: rounded to nearest even",
		MinArgs: 1, MaxArgs: 1, Fields: []Field{FieldTo}, Traits: Elementwise | AsMain | AsEpilogue, Flops: 1, Infer: inferCast,
	},
	OpReshape: {
		Name: "reshape", Doc: "t[..] -> t[shape]: the same elements in row-major order",
		MinArgs: 1, MaxArgs: 1, Fields: []Field{FieldShape}, Traits: View, Infer: inferReshape,
	},
	OpSlice: {
		Name: "slice", Doc: "t[..] -> t[..]: indices start..start+size-1 along axis",
		MinArgs: 1, MaxArgs: 1, Fields: []Field{FieldAxis, FieldStart, FieldSize}, Traits: View, Infer: inferSlice,
	},
	OpTranspose: {
		Name: "transpose", Doc: "t[..] -> t[..]: result dim i is operand dim perm[i]",
		MinArgs: 1, MaxArgs: 1, Fields: []Field{FieldPerm}, Traits: View | AsMain, Infer: inferTranspose,
	},
	OpConcat: {
		Name: "concat", Doc: "t[..]... -> t[..]: joined along axis",
		MinArgs: 1, MaxArgs: -1, Fields: []Field{FieldAxis}, Traits: AsMain, Infer: inferConcat,
	},
	OpFused: {
		Name: "fused", Doc: "any -> any: its region",
		MinArgs: 0, MaxArgs: -1, Fields: []Field{FieldPattern}, Traits: AsMain,
		Infer: func([]Type, *Attr) (Type, error) {
			return Type{}, fmt.Errorf("a fused node takes its types from its region")
		},
	},
}
