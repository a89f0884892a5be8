package verify

import (
	"slices"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/lower/plan"
)

// kernelKind is one row of the table: a kind of kernel, what it is for, and the graphs
// that reach it through the compiler.
type kernelKind struct {
	name      string
	checklist string      // the row of the list of kernels that a Qwen2.5 engine needs
	pattern   string      // the fusion that forms it; empty: ops
	options   string      // the options of pattern in a pipeline
	ops       []ir.Op     // the operations that are dispatches of their own
	main      []plan.Main // the only mains, where a row is one of several ways; nil: all
	formats   []dtype.Type
	every     bool // every format, in a quick run too
	logic     string
	ideas     string
	// probes returns the graphs for weights (or a cache, or an operand) of type t. A
	// quick run takes few of them.
	probes func(t dtype.Type, quick bool) []probe
	// mixed, where set, returns graphs whose weights differ in type.
	mixed func(quick bool) []probe
}

var (
	floats   = []dtype.Type{dtype.F32}
	caches   = []dtype.Type{dtype.F16, dtype.F32}
	blocks   = []dtype.Type{dtype.Q8_0, dtype.Q4_0, dtype.Q4_1, dtype.Q5_0, dtype.Q5_1, dtype.Q4_K, dtype.Q5_K, dtype.Q6_K, dtype.Q2_K, dtype.Q3_K, dtype.IQ4_NL, dtype.IQ4_XS}
	matrix   = slices.Concat([]dtype.Type{dtype.F16, dtype.F32, dtype.BF16}, blocks, published)
	every    = slices.Concat(matrix, others)
	operands = slices.Concat([]dtype.Type{dtype.F32, dtype.F16, dtype.BF16}, blocks, published)
	inTiles  = slices.Concat([]dtype.Type{dtype.F16, dtype.BF16}, blocks, published, others)
)

// Affine types: those that MLX makes of a checkpoint in bf16 by default, and that
// Qwen2.5 is published in by GPTQ and AWQ; and others, so that each number of bits, of
// group, of scales and of zero probes is there.
var (
	published = affine(
		dtype.Affine{Bits: 4, Group: 64, Scales: dtype.BF16},
		dtype.Affine{Bits: 4, Group: 128, Scales: dtype.F16, Zeros: true},
		dtype.Affine{Bits: 8, Group: 64, Scales: dtype.BF16},
	)
	others = affine(
		dtype.Affine{Bits: 2, Group: 32, Scales: dtype.F32},
		dtype.Affine{Bits: 3, Group: 128, Scales: dtype.F16},
		dtype.Affine{Bits: 5, Group: 64, Scales: dtype.BF16, Zeros: true},
		dtype.Affine{Bits: 6, Group: 32, Scales: dtype.F32, Zeros: true},
		dtype.Affine{Bits: 8, Group: 128, Scales: dtype.F16, Zeros: true},
	)
)

func affine(formats ...dtype.Affine) []dtype.Type {
	var out []dtype.Type
	for _, a := range formats {
		t, _ := a.Type()
		out = append(out, t)
	}
	return out
}

// table lists every kind of kernel.
var table = []kernelKind{
	{
		name: "embedding", checklist: "embedding lookup", ops: []ir.Op{ir.OpEmbedding}, formats: every, every: true, probes: embeddingProbes,
		logic: "a thread gathers four elements (one, of odd rows) of a row, dequantised from its block; an id outside the table is reported to the step and nothing is read",
		ideas: "none: it moves one row a token",
	},
	{
		name: "rms_norm", checklist: "rms_norm", ops: []ir.Op{ir.OpRMSNorm}, formats: operands, probes: normProbes,
		logic: "a threadgroup a row of any float or block format, loaded four elements at a time, which stays in registers as floats between the sum of squares (lanes, then simdgroups, one barrier) and the result",
		ideas: "several short rows a threadgroup",
	},
	{
		name: "rms_norm in two steps", checklist: "rms_norm", ops: []ir.Op{ir.OpSumSquares, ir.OpRMSScale}, formats: floats, probes: normStepProbes,
		logic: "sum_squares leaves partial sums of a row, rms_scale finishes them: what fusion 20 splits a norm into",
		ideas: "none: passes join the steps again where no kernel takes up the sums, and where none takes the scaling and a whole norm is no slower",
	},
	{
		name: "rope", checklist: "rope", ops: []ir.Op{ir.OpRope}, formats: floats, probes: ropeProbes,
		logic: "a threadgroup a position: its threads compute cos and sin of each pair (i, i + head_dim/2) once, in threadgroup memory and before the ready point, meet, and turn the pairs of all heads, four i each; the angle position * inv_freq is kept as two floats, whole turns taken off, so that it is right at every position of a context",
		ideas: "none: the form in which each thread computes its own turns (`bench --kernels rope` measures both) took 1.15 us against 0.81 on an H100 for 14 heads of 64 at T=1 and 2.7 against 1.4 at T=512 (28 heads of 128: 1.27 against 0.92, 3.7 against 3.3); one in which a thread looped over the heads took 4.0 and 5.4. No Apple GPU has run any",
	},
	{
		name: "kv_rearrange", checklist: "kv_rearrange", ops: []ir.Op{ir.OpKVRearrange}, formats: floats, probes: rearrangeProbes,
		logic: "columns of a projection into attention's layout, four elements a thread, both sides in order",
		ideas: "none: the default pipeline has it as an epilogue",
	},
	{
		name: "kv_write", checklist: "kv_rearrange", ops: []ir.Op{ir.OpKVWrite}, formats: caches, probes: cacheWriteProbes,
		logic: "new rows of keys or values to their place in the cache, narrowed to its type",
		ideas: "a quantised cache",
	},
	{
		name: "repeat_kv", checklist: "repeat_kv", ops: []ir.Op{ir.OpRepeatKV}, formats: caches, probes: repeatProbes,
		logic: "every query head gets a copy of its keys and values, four elements a thread; only variant unfused dispatches it, indexing replaces it elsewhere",
		ideas: "none: it is there to be fused away",
	},
	{
		name: "silu, mul", checklist: "swiglu", ops: []ir.Op{ir.OpSilu, ir.OpMul}, formats: floats, probes: siluProbes,
		logic: "SwiGLU as two elementwise dispatches, four elements a thread",
		ideas: "none: it is there to be fused",
	},
	{
		name: "swiglu", checklist: "swiglu", pattern: "swiglu", formats: floats, probes: swigluProbes,
		logic: "silu(gate) * up as one elementwise dispatch",
		ideas: "none",
	},
	{
		name: "add", checklist: "elementwise add", ops: []ir.Op{ir.OpAdd}, formats: caches, probes: addProbes,
		logic: "a + b[i % len], four elements a thread; the result may take the place of an operand that nobody reads again",
		ideas: "none",
	},
	{
		name: "elementwise", checklist: "elementwise add", pattern: "elementwise", formats: floats, probes: elementwiseProbes,
		logic: "a chain of elementwise operations as one dispatch",
		ideas: "none",
	},
	{
		name: "matmul GEMV", checklist: "matmul", ops: []ir.Op{ir.OpMatmulNT}, main: []plan.Main{plan.ProductRows}, formats: every, every: true, probes: gemvProbes,
		logic: "a simdgroup owns a few rows of weights, its lanes stride along them in wide loads and dequantise in registers; several rows of x share what was loaded; simdgroups share a row where rows are few",
		ideas: "split-K across threadgroups for the narrowest projections",
	},
	{
		name: "matmul GEMM", checklist: "matmul", ops: []ir.Op{ir.OpMatmulNT}, main: []plan.Main{plan.ProductTiles, plan.ProductMatrices, plan.WeightExpansion}, formats: inTiles, probes: gemmProbes,
		logic: "a threadgroup makes a block of rows by columns over 16x16 tiles, blocks of weights and of x staged in threadgroup memory as f16 while others are multiplied; x that only tiles read was stored as f16 and is copied, as f16 weights are; edges are clamped on load and masked on store; where cores have matrix units (`--target apple-m5`) all simdgroups multiply a block together, and the epilogue takes rows of the sums by their coordinates; there weights of other formats may be expanded once into the arena, ahead of the product",
		ideas: "a K loop that expands quantised weights waits for that; two simdgroups that share a block's depth where few threadgroups fill the cores",
	},
	{
		name: "softmax vector", checklist: "softmax", ops: []ir.Op{ir.OpSoftmax}, main: []plan.Main{plan.Rows}, formats: operands, probes: softmaxVectorProbes,
		logic: "a threadgroup a row: maximum and sum of exponentials in one pass of wide loads, simd_max and simd_sum, then the division; a causal row sees start + t + 1 columns and the others become 0; rows of blocks are read by their scales",
		ideas: "none: attention in one pass stores no scores",
	},
	{
		name: "softmax block", checklist: "softmax", ops: []ir.Op{ir.OpSoftmax}, main: []plan.Main{plan.SoftmaxSegments, plan.SoftmaxMerge}, formats: operands, probes: softmaxBlockProbes,
		logic: "a row in segments, each a threadgroup that leaves its maximum and sum; a second kernel merges those of a row and writes; its twin is the vector form",
		ideas: "none: the cost model chooses between the forms and the length of a segment",
	},
	{
		name: "attention chained: scores", checklist: "attention", ops: []ir.Op{ir.OpBmmNT}, formats: caches, probes: scoresProbes,
		logic: "queries times keys, a head at a time: a thread an element, or for many rows over an f16 cache a GEMM in tiles; over an f32 cache there is no GEMM (tiles hold f16), and many rows go a thread an element too",
		ideas: "none: a fused attention stores no scores",
	},
	{
		name: "attention chained: values", checklist: "attention", ops: []ir.Op{ir.OpBmmNN}, formats: caches, probes: weightedProbes,
		logic: "weights times values, a head at a time: a lane a column, rows shared by simdgroups, or for many rows over an f16 cache a GEMM in tiles; over an f32 cache there is no GEMM (tiles hold f16), and many rows go as one does",
		ideas: "none: a fused attention stores no weights",
	},
	{
		name: "attention flash", checklist: "attention", pattern: "attention", main: []plan.Main{plan.AttentionRows, plan.AttentionTiles, plan.AttentionMatrices}, formats: caches, probes: flashProbes,
		logic: "one pass over the keys with a running maximum and sum: lanes share a key, simdgroups share the keys, one merge; many rows go in blocks of 64 queries over tiles, keys above the diagonal are not read; where cores have matrix units (`--target apple-m5`) these make both products of a block of 32 or 64 queries, and scores and weights go through threadgroup memory",
		ideas: "two query heads of one key head in a threadgroup",
	},
	{
		name: "attention split", checklist: "attention", pattern: "attention", options: "{kernel=" + kernel.AttentionInParts + "}", main: []plan.Main{plan.AttentionParts, plan.AttentionMerge}, formats: caches, probes: splitProbes,
		logic: "the cache in parts, each a threadgroup, and a second kernel that merges the parts by their maxima",
		ideas: "none",
	},
	{
		name: "attention split + o_proj", checklist: "attention", pattern: "attention-split-o", formats: matrix, probes: splitOutProbes,
		logic: "the merge of the parts is the prologue of the output projection, which also adds the residual and may leave sums of squares",
		ideas: "none",
	},
	{
		name: "attention + rope", checklist: "attention", pattern: "rope-attention", formats: caches, probes: ropeAttentionProbes,
		logic: "queries are rotated as attention loads them",
		ideas: "none",
	},
	{
		name: "sample", checklist: "sample", ops: []ir.Op{ir.OpSample}, formats: floats, probes: sampleProbes,
		logic: "scores in parts of 4,096; top-k, top-p and min-p become one threshold, found digit by digit of the scores' bits over all threadgroups; then sums and the choice by one random number; weights are fixed-point integers, added by simd_sum and prefix sums, so that no order of adding gives another token",
		ideas: "levels that no filter needs are still dispatched",
	},
	{
		name: "argmax", checklist: "sample", ops: []ir.Op{ir.OpArgmax}, formats: floats, probes: argmaxProbes,
		logic: "short rows a threadgroup each; of long ones parts of 4,096 elements, each a threadgroup, and a second kernel that merges the parts; simdgroups reduce value and index together, ties to the lowest",
		ideas: "none: fused into the head where it pays",
	},
	{
		name: "arange", checklist: "arange, ones, random_uniform", ops: []ir.Op{ir.OpArange}, formats: floats, probes: arangeProbes,
		logic: "four elements a thread", ideas: "none: reached from .fir graphs",
	},
	{
		name: "ones", checklist: "arange, ones, random_uniform", ops: []ir.Op{ir.OpOnes}, formats: floats, probes: onesProbes,
		logic: "four elements a thread", ideas: "none: reached from .fir graphs",
	},
	{
		name: "random_uniform", checklist: "arange, ones, random_uniform", ops: []ir.Op{ir.OpRandomUniform}, formats: floats, probes: randomProbes,
		logic: "Philox4x32-10 of seed and counter, a block of four numbers a thread", ideas: "none: the sampler draws one number a token",
	},
	{
		name: "qkv", checklist: "QKV fused with RMSNorm", pattern: "qkv", formats: matrix, probes: qkvProbes("fuse-qkv"), mixed: qkvMixed("fuse-qkv"),
		logic: "three products of one operand over all their rows, each its own weight and bias; a threadgroup knows its part by its index",
		ideas: "none",
	},
	{
		name: "rmsnorm + qkv", checklist: "QKV fused with RMSNorm", pattern: "rmsnorm-qkv", formats: matrix, probes: qkvProbes("fuse-rmsnorm-qkv"), mixed: qkvMixed("fuse-rmsnorm-qkv"),
		logic: "the norm is the prologue: every threadgroup computes it into threadgroup memory, or takes finished sums of squares",
		ideas: "none",
	},
	{
		name: "qkv + rope + kv_write", checklist: "QKV fused with RMSNorm", pattern: "qkv-rope-kv", formats: matrix, probes: qkvHeadProbes(qkvHeadsBody), mixed: qkvHeadMixed(qkvHeadsBody),
		logic: "norm, projections, biases, head layout, rotation and both cache writes: a simdgroup owns both rows of a rotated pair",
		ideas: "none",
	},
	{
		name: "qkv + head norms + rope + kv_write", checklist: "QKV fused with RMSNorm", pattern: "qkv-rope-kv", formats: matrix, probes: qkvHeadProbes(qkvNormedBody), mixed: qkvHeadMixed(qkvNormedBody),
		logic: "a threadgroup owns all rows of a head (of one or two), whose squares meet in threadgroup memory between the product and the rotation; in tiles the columns of a block are whole heads, spread once for the squares and once for the results; heads that 32 does not divide go by rows",
		ideas: "there are as many threadgroups as heads: wide machines idle in decode",
	},
	{
		name: "rope q, k", checklist: "rope", pattern: "rope-qk", formats: caches, probes: headProbes("fuse-rope-qk", headsBody),
		logic: "both rotations of a layer as one dispatch: a threadgroup a position, with one set of turns for the heads of both", ideas: "none",
	},
	{
		name: "rope + kv_write", checklist: "kv_rearrange", pattern: "rope-kv", main: []plan.Main{plan.Elementwise}, formats: caches, probes: headProbes("fuse-rope-kv", headsBody),
		logic: "head layout, rotation and both cache writes as one dispatch: a threadgroup a position, with one set of turns for all heads", ideas: "none",
	},
	{
		name: "head norms + rope + kv_write", checklist: "rms_norm", pattern: "rope-kv", main: []plan.Main{plan.Rows}, formats: caches, probes: headProbes("fuse-rope-kv", headNormsBody),
		logic: "a threadgroup a position, a simdgroup a head: lanes keep its pairs in registers between the sum of squares (one simd_sum) and norm, rotation and cache write; values are copied beside the keys",
		ideas: "positions of few heads leave most of a machine idle in decode",
	},
	{
		name: "product + residual", checklist: "matmul", pattern: "residual", formats: matrix, probes: residualProbes,
		logic: "the epilogue adds the residual, and may leave sums of squares for the norm behind",
		ideas: "none",
	},
	{
		name: "product + bias", checklist: "matmul", pattern: "bias", formats: matrix, probes: biasProbes,
		logic: "the epilogue adds the bias", ideas: "none: three of one input are one dispatch where that pays",
	},
	{
		name: "residual + norm", checklist: "rms_norm", pattern: "residual-norm", formats: floats, probes: residualNormProbes,
		logic: "the residual is added as the norm loads it; both are stored", ideas: "none: rival of product + residual",
	},
	{
		name: "gate, up", checklist: "swiglu", pattern: "gate-up", formats: matrix, probes: gateUpProbes,
		logic: "two products of one operand over all their rows", ideas: "none",
	},
	{
		name: "gate, up + swiglu", checklist: "swiglu", pattern: "gate-up-swiglu", formats: matrix, probes: gateUpSwigluProbes,
		logic: "a thread ends up with row n of gate and of up, and its epilogue joins them; the norm stands before",
		ideas: "none",
	},
	{
		name: "swiglu + down", checklist: "SwiGLU fused with down_proj", pattern: "swiglu-down", formats: matrix, probes: downProbes,
		logic: "SwiGLU is computed as the product loads its operand, by every threadgroup; the residual is added, sums of squares may be left",
		ideas: "pays where gate and up are wide and down has few rows",
	},
	{
		name: "head", checklist: "sample", pattern: "head", formats: matrix, probes: headProductProbes,
		logic: "final norm, product, and partial maxima of the logits; a second kernel merges them into the token", ideas: "top-k partials beside the maxima",
	},
	{
		name: "embedding + norm", checklist: "embedding lookup", pattern: "embedding-norm", formats: matrix, probes: embeddingNormProbes,
		logic: "the lookup also makes the first norm, or its sums of squares: of many rows four elements a thread, whose squares the threads of a run add up", ideas: "none",
	},
	{
		name: "cast", checklist: "elementwise add", ops: []ir.Op{ir.OpCast}, formats: []dtype.Type{dtype.F16, dtype.BF16}, probes: castProbes,
		logic: "rounded to nearest even, four elements a thread", ideas: "none",
	},
	{
		name: "copies", checklist: "kv_rearrange", ops: []ir.Op{ir.OpTranspose, ir.OpReshape, ir.OpConcat, ir.OpSlice}, formats: floats, probes: copyProbes,
		logic: "transposes and joins that strides cannot say, four elements a thread", ideas: "none: what can be a view costs nothing",
	},
}
