package passes

// patterns is the table of fusions. A line is optional where a region without it
// is a kernel as well.
var patterns = [...]Pattern{
	{
		Name: "qkv", Label: "qkv", Fusions: []int{3, 4},
		Doc: "the three projections of one input are one product over all their rows",
		Text: `
			@q = matmul_nt h wq
			@k = matmul_nt h wk
			@v = matmul_nt h wv
			?bias q = add q bq:vec
			?bias k = add k bk:vec
			?bias v = add v bv:vec
			order q k v
			all q k v`,
	},
	{
		Name: "rmsnorm-qkv", Label: "qkv", Fusions: []int{1, 3, 4, 5},
		Doc: "the norm is computed by every threadgroup of the projections",
		Text: `
			 h = rms_norm|rms_scale
			@q = matmul_nt h wq
			@k = matmul_nt h wk
			@v = matmul_nt h wv
			?bias q = add q bq:vec
			?bias k = add k bk:vec
			?bias v = add v bv:vec
			order q k v`,
	},
	{
		Name: "qkv-rope-kv", Label: "qkv", Fusions: []int{1, 3, 4, 5, 6, 7, 8},
		Doc: "projections, biases, norms of heads, rotation and cache writes are one kernel; a simdgroup owns both rows of a rotated pair, a threadgroup all of a normed head",
		Text: `
			?norm h = rms_norm|rms_scale
			 q  = matmul_nt h wq
			 k  = matmul_nt h wk
			 v  = matmul_nt h wv
			?bias q = add q bq:vec
			?bias k = add k bk:vec
			?bias v = add v bv:vec
			 q  = kv_rearrange q
			 k  = kv_rearrange k
			 v  = kv_rearrange v
			?norms q = rms_norm q gq
			?norms k = rms_norm k gk
			 q  = rope q f {start=p}
			@k  = rope k f {start=p}
			@kc = kv_write ck k {start=p}
			 vc = kv_write cv v {start=p}`,
	},
	{
		Name: "rope-qk", Label: "rope", Fusions: []int{6},
		Doc: "q and k of one attention are rotated in one dispatch",
		Text: `
			@q  = rope q0 f {start=p}
			 k  = rope k0 f {start=p}
			.kc = kv_write ck k
			.kv = slice kc
			?repeat .kv = repeat_kv kv
			@.s = bmm_nt q kv`,
	},
	{
		Name: "rope-kv", Label: "rope_kv", Fusions: []int{6, 7},
		Doc: "head layout, norms of heads, rotation and both cache writes are one dispatch",
		Text: `
			 q  = kv_rearrange q0
			 k  = kv_rearrange k0
			 v  = kv_rearrange v0
			?norms q = rms_norm q gq
			?norms k = rms_norm k gk
			 q  = rope q f {start=p}
			@k  = rope k f {start=p}
			@kc = kv_write ck k {start=p}
			 vc = kv_write cv v {start=p}
			.kv = slice kc
			?repeat .kv = repeat_kv kv
			.s  = bmm_nt q kv
			.w  = softmax s
			.vv = slice vc
			?repeat .vv = repeat_kv vv
			.o  = bmm_nn w vv`,
	},
	{
		Name: "attention", Label: "attention", Fusions: []int{10},
		Doc: "scores, softmax and the weighted sum are one pass over the cache, or one over each of its parts and a merge: the scores are never stored",
		Text: `
			@s = bmm_nt q k
			@w = softmax s
			 o = bmm_nn w v
			?heads o = transpose o {perm=[1,0,2,0]}`,
	},
	{
		Name: "rope-attention", Label: "attention", Fusions: []int{10, 11},
		Doc: "q is rotated as attention loads it",
		Text: `
			 q = rope q0 f {start=p}
			@s = bmm_nt q k
			@w = softmax s {start=p}
			 o = bmm_nn w v
			?heads o = transpose o {perm=[1,0,2,0]}`,
	},
	{
		Name: "attention-split-o", Label: "attention_o", Fusions: []int{9, 10},
		Doc: "attention and the output projection are one region: the merge of the keys' parts is the projection's prologue, two dispatches instead of three. Another region than attention's, so a pattern, while parts alone are a kernel of attention; its keys are always in parts, and kernel= are words of the projection's",
		Text: `
			@s = bmm_nt q k
			@w = softmax s
			 o = bmm_nn w v
			?heads o = transpose o {perm=[1,0,2,0]}
			?rows  o = reshape o
			 y = matmul_nt o wo
			?residual y^ = add y x:same
			?sums ss = sum_squares y`,
	},
	{
		Name: "residual", Fusions: []int{9, 20},
		Doc: "the product adds the residual before it stores",
		Text: `
			@p   = matmul_nt a w
			@@y^ = add p x:same
			?sums ss = sum_squares y`,
	},
	{
		Name: "bias", Fusions: []int{4},
		Doc: "the product adds its bias before it stores",
		Text: `
			@p  = matmul_nt h w
			@@y = add p b:vec`,
	},
	{
		Name: "residual-norm", Label: "norm", Fusions: []int{1, 2},
		Doc: "the residual is added as the norm loads it; the sum and the norm are two results",
		Text: `
			 x^ = add a b:same
			@h  = rms_norm x g`,
	},
	{
		Name: "gate-up", Label: "gate_up", Fusions: []int{1, 13, 15},
		Doc: "gate and up are one product over all their rows",
		Off: []string{"norm"},
		Text: `
			?norm h = rms_norm|rms_scale
			@g = matmul_nt h wg
			@u = matmul_nt h wu
			?bias g = add g bg:vec
			?bias u = add u bu:vec
			order g u
			all g u`,
	},
	{
		Name: "gate-up-swiglu", Label: "gate_up", Fusions: []int{1, 13, 14, 15},
		Doc: "gate, up and their SwiGLU are one product whose epilogue joins the two rows; the norm stands before it",
		Text: `
			?norm h = rms_norm|rms_scale
			 g = matmul_nt h wg
			 u = matmul_nt h wu
			?bias g = add g bg:vec
			?bias u = add u bu:vec
			@s = silu g
			@m = mul s u`,
	},
	{
		Name: "swiglu", Label: "swiglu", Fusions: []int{21},
		Doc: "silu and mul are one elementwise dispatch",
		Text: `
			@s = silu g
			@m = mul s u`,
	},
	{
		Name: "swiglu-down", Label: "down", Fusions: []int{9, 16, 20},
		Doc: "SwiGLU is computed as the down projection loads its operand, by every threadgroup",
		Text: `
			@s = silu g
			@m = mul s u
			 y = matmul_nt m w
			?residual y^ = add y x:same
			?sums ss = sum_squares y`,
	},
	{
		Name: "head", Label: "lm_head", Fusions: []int{1, 18},
		Doc: "the final norm stands before the product of the head, which leaves partial maxima for the argmax",
		Text: `
			?norm h = rms_norm|rms_scale
			@l^ = matmul_nt h w
			?argmax t = argmax l
			returned l`,
	},
	{
		Name: "embedding-norm", Label: "embed", Fusions: []int{1, 19, 20},
		Doc: "the lookup also makes what the first norm wants of its row",
		Text: `
			@x^ = embedding ids table
			 h  = rms_norm|sum_squares x`,
	},
	{
		Name: "elementwise", Label: "elementwise", Fusions: []int{21}, Grow: true,
		Doc: "a chain of elementwise operations is one dispatch",
		Text: `
			@a = add|mul|silu|cast
			@b = add|mul|silu|cast a:same`,
	},
}
