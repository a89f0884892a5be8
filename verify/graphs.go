package verify

import "strings"

// Bodies of graphs, in the text of package ir. {K} is a row length, {N} rows of a
// weight, {W} and {C} the types of weights and cache, {D} a head_dim, {L} the
// context. An eps of 0.01 moves a norm by a percent, so that a kernel without it shows.

const embeddingBody = `
%ids = input "ids" : i32[T]
%w = weight "w" : {W}[50, {K}]
%y = embedding %ids, %w : f32[T, {K}]
return y=%y`

const normBody = `
%x = input "x" : f32[T, {K}]
%g = weight "g" : f32[{K}]
%y = rms_norm %x, %g {eps={E}} : f32[T, {K}]
return y=%y`

// Rows that a checkpoint holds.
const normRowsBody = `
%x = weight "x" : {W}[33, {K}]
%g = weight "g" : f32[{K}]
%y = rms_norm %x, %g {eps=0.01} : f32[33, {K}]
return y=%y`

// A norm in two steps; {M} is the run of a sum.
const normStepsBody = `
%x = input "x" : f32[T, {K}]
%g = weight "g" : f32[{K}]
%s = sum_squares %x {size={M}} : f32[T, {R}]
%y = rms_scale %x, %s, %g {eps=0.01} : f32[T, {K}]
return s=%s, y=%y`

const ropeBody = `
%x = input "x" : f32[3, T, {D}]
%f = weight "f" : f32[{H}]
%y = rope %x, %f {start=P} : f32[3, T, {D}]
return y=%y`

const rearrangeBody = `
%x = input "x" : f32[T, {K}]
%y = kv_rearrange %x {heads={H}} : f32[{H}, T, {D}]
return y=%y`

const cacheWriteBody = `
%c = state "c" : {C}[2, {L}, {D}]
%x = input "x" : f32[2, T, {D}]
%y = kv_write %c, %x {start=P} : {C}[2, {L}, {D}]
return c=%y`

const repeatBody = `
%x = state "x" : {C}[2, {L}, {D}]
%v = slice %x {axis=1, start=0, size=S} : {C}[2, S, {D}]
%y = repeat_kv %v {times={R}} : {C}[{H}, S, {D}]
return y=%y`

const siluMulBody = `
%g = input "g" : f32[T, {K}]
%u = input "u" : f32[T, {K}]
%s = silu %g : f32[T, {K}]
%y = mul %s, %u : f32[T, {K}]
return y=%y`

// silu(gate + bg) * (up + bu); weights bg and bu may be zero.
const siluMulBiasBody = `
%g0 = input "g" : f32[T, {K}]
%u0 = input "u" : f32[T, {K}]
%bg = weight "bg" : f32[{K}]
%bu = weight "bu" : f32[{K}]
%g = add %g0, %bg : f32[T, {K}]
%u = add %u0, %bu : f32[T, {K}]
%s = silu %g : f32[T, {K}]
%y = mul %s, %u : f32[T, {K}]
return y=%y`

const addBody = `
%x = input "x" : f32[T, {K}]
%b = input "b" : {W}[{B}{K}]
%y = add %x, %b : f32[T, {K}]
return y=%y`

// The second sum takes the place of the first one.
const addInPlaceBody = `
%x = input "x" : f32[T, {K}]
%b = weight "b" : f32[{K}]
%a = add %x, %b : f32[T, {K}]
%y = add %a, %x : f32[T, {K}]
%z = add %y, %b : f32[T, {K}]
return z=%z`

const elementwiseBody = `
%x = input "x" : f32[T, {K}]
%b = weight "b" : f32[{K}]
%a = add %x, %b : f32[T, {K}]
%m = mul %a, %x : f32[T, {K}]
%s = silu %m : f32[T, {K}]
%y = cast %s {to=f16} : f16[T, {K}]
return y=%y`

const matmulBody = `
%x = input "x" : f32[T, {K}]
%w = weight "w" : {W}[{N}, {K}]
%y = matmul_nt %x, %w : f32[T, {N}]
return y=%y`

const madeBody = `
%x = input "x" : f32[T, {K}]
%w = weight "w" : {W}[{N}, {K}]
%s = silu %x : f32[T, {K}]
%y = matmul_nt %s, %w : f32[T, {N}]
return y=%y`

const softmaxBody = `
%x = input "x" : f32[2, T, S]
%y = softmax %x {causal={A}, start={P}{G}} : f32[2, T, S]
return y=%y`

const softmaxRowBody = `
%x = {I} "x" : {W}[{R}, {K}]
%y = softmax %x {causal=false, start=0{G}} : f32[{R}, {K}]
return y=%y`

// Attention of {Q} query heads over caches of 2, causal or not, {A} and {P}.
const attentionBody = `
%q = input "q" : f32[{Q}, T, {D}]
%k = state "k" : {C}[2, {L}, {D}]
%v = state "v" : {C}[2, {L}, {D}]
%ks = slice %k {axis=1, start=0, size=S} : {C}[2, S, {D}]
%vs = slice %v {axis=1, start=0, size=S} : {C}[2, S, {D}]
%s = bmm_nt %q, %ks {scale=0.125} : f32[{Q}, T, S]
%p = softmax %s {causal={A}, start={P}} : f32[{Q}, T, S]
%o = bmm_nn %p, %vs : f32[{Q}, T, {D}]
%y = transpose %o {perm=[1,0,2,0]} : f32[T, {Q}, {D}]
return y=%y`

// The same, with rotation and an output projection and residual of {N} rows, and
// the norm behind it.
const attentionOutBody = `
%q0 = input "q" : f32[4, T, {D}]
%f = weight "f" : f32[{H}]
%x = input "x" : f32[T, {N}]
%wo = weight "wo" : {W}[{N}, {K}]
%g = weight "g" : f32[{N}]
%wn = weight "wn" : {W}[{N}, {N}]
%k = state "k" : {C}[2, {L}, {D}]
%v = state "v" : {C}[2, {L}, {D}]
%q = rope %q0, %f {start=P} : f32[4, T, {D}]
%ks = slice %k {axis=1, start=0, size=S} : {C}[2, S, {D}]
%vs = slice %v {axis=1, start=0, size=S} : {C}[2, S, {D}]
%s = bmm_nt %q, %ks {scale=0.125} : f32[4, T, S]
%p = softmax %s {causal=true, start=P} : f32[4, T, S]
%o = bmm_nn %p, %vs : f32[4, T, {D}]
%t = transpose %o {perm=[1,0,2,0]} : f32[T, 4, {D}]
%r = reshape %t {shape=[T,{K}]} : f32[T, {K}]
%a = matmul_nt %r, %wo : f32[T, {N}]
%y = add %a, %x : f32[T, {N}]
%h = rms_norm %y, %g {eps=0.01} : f32[T, {N}]
%z = matmul_nt %h, %wn : f32[T, {N}]
return y=%y, z=%z`

const scoresBody = `
%q = input "q" : f32[{Q}, T, {D}]
%k = state "k" : {C}[2, {L}, {D}]
%ks = slice %k {axis=1, start=0, size=S} : {C}[2, S, {D}]
%y = bmm_nt %q, %ks {scale=0.125} : f32[{Q}, T, S]
return y=%y`

const weightedBody = `
%p = input "p" : f32[{Q}, T, S]
%v = state "v" : {C}[2, {L}, {D}]
%vs = slice %v {axis=1, start=0, size=S} : {C}[2, S, {D}]
%y = bmm_nn %p, %vs : f32[{Q}, T, {D}]
return y=%y`

// From the rows of three projections to attention's heads; 3 query heads, one of
// keys and values.
const headsBody = `
%q0 = input "q" : f32[T, {Q}]
%k0 = input "k" : f32[T, {D}]
%v0 = input "v" : f32[T, {D}]
%f = weight "f" : f32[{H}]
%ck = state "ck" : {C}[1, {L}, {D}]
%cv = state "cv" : {C}[1, {L}, {D}]
%q1 = kv_rearrange %q0 {heads=3} : f32[3, T, {D}]
%k1 = kv_rearrange %k0 {heads=1} : f32[1, T, {D}]
%v1 = kv_rearrange %v0 {heads=1} : f32[1, T, {D}]
%q2 = rope %q1, %f {start=P} : f32[3, T, {D}]
%k2 = rope %k1, %f {start=P} : f32[1, T, {D}]
%nk = kv_write %ck, %k2 {start=P} : {C}[1, {L}, {D}]
%nv = kv_write %cv, %v1 {start=P} : {C}[1, {L}, {D}]
%ks = slice %nk {axis=1, start=0, size=S} : {C}[1, S, {D}]
%vs = slice %nv {axis=1, start=0, size=S} : {C}[1, S, {D}]
%kr = repeat_kv %ks {times=3} : {C}[3, S, {D}]
%vr = repeat_kv %vs {times=3} : {C}[3, S, {D}]
%s = bmm_nt %q2, %kr {scale=0.125} : f32[3, T, S]
%p = softmax %s {causal=true, start=P} : f32[3, T, S]
%y = bmm_nn %p, %vr : f32[3, T, {D}]
return y=%y, ck=%nk, cv=%nv`

// headNormsBody is headsBody with a norm over each head of q and k.
var headNormsBody = strings.NewReplacer(
	"%q1 = kv_rearrange %q0 {heads=3} : f32[3, T, {D}]", `%gq = weight "gq" : f32[{D}]
%gk = weight "gk" : f32[{D}]
%q3 = kv_rearrange %q0 {heads=3} : f32[3, T, {D}]
%q1 = rms_norm %q3, %gq {eps=0.01} : f32[3, T, {D}]`,
	"%k1 = kv_rearrange %k0 {heads=1} : f32[1, T, {D}]", `%k3 = kv_rearrange %k0 {heads=1} : f32[1, T, {D}]
%k1 = rms_norm %k3, %gk {eps=0.01} : f32[1, T, {D}]`,
).Replace(headsBody)

// Norm and projections, with biases; {WQ}, {WK}, {WV} may differ.
const qkvBody = `
%x = input "x" : f32[T, {K}]
%g = weight "g" : f32[{K}]
%wq = weight "wq" : {WQ}[{Q}, {K}]
%wk = weight "wk" : {WK}[{D}, {K}]
%wv = weight "wv" : {WV}[{D}, {K}]
%bq = weight "bq" : f32[{Q}]
%bk = weight "bk" : f32[{D}]
%bv = weight "bv" : f32[{D}]
%h = rms_norm %x, %g {eps=0.01} : f32[T, {K}]
%q0 = matmul_nt %h, %wq : f32[T, {Q}]
%k0 = matmul_nt %h, %wk : f32[T, {D}]
%v0 = matmul_nt %h, %wv : f32[T, {D}]
%q = add %q0, %bq : f32[T, {Q}]
%k = add %k0, %bk : f32[T, {D}]
%v = add %v0, %bv : f32[T, {D}]
return q=%q, k=%k, v=%v`

// Behind a residual, projections with biases, heads, rotation and cache writes.
const qkvHeadsBody = `
%a = input "a" : f32[T, {K}]
%r = input "r" : f32[T, {K}]
%wo = weight "wo" : {WQ}[{K}, {K}]
%g = weight "g" : f32[{K}]
%f = weight "f" : f32[{H}]
%wq = weight "wq" : {WQ}[{Q}, {K}]
%wk = weight "wk" : {WK}[{D}, {K}]
%wv = weight "wv" : {WV}[{D}, {K}]
%bq = weight "bq" : f32[{Q}]
%bk = weight "bk" : f32[{D}]
%bv = weight "bv" : f32[{D}]
%ck = state "ck" : {C}[1, {L}, {D}]
%cv = state "cv" : {C}[1, {L}, {D}]
%o = matmul_nt %a, %wo : f32[T, {K}]
%x = add %o, %r : f32[T, {K}]
%h = rms_norm %x, %g {eps=0.01} : f32[T, {K}]
%q0 = matmul_nt %h, %wq : f32[T, {Q}]
%k0 = matmul_nt %h, %wk : f32[T, {D}]
%v0 = matmul_nt %h, %wv : f32[T, {D}]
%q1 = add %q0, %bq : f32[T, {Q}]
%k1 = add %k0, %bk : f32[T, {D}]
%v1 = add %v0, %bv : f32[T, {D}]
%q2 = kv_rearrange %q1 {heads=3} : f32[3, T, {D}]
%k2 = kv_rearrange %k1 {heads=1} : f32[1, T, {D}]
%v2 = kv_rearrange %v1 {heads=1} : f32[1, T, {D}]
%q = rope %q2, %f {start=P} : f32[3, T, {D}]
%k = rope %k2, %f {start=P} : f32[1, T, {D}]
%nk = kv_write %ck, %k {start=P} : {C}[1, {L}, {D}]
%nv = kv_write %cv, %v2 {start=P} : {C}[1, {L}, {D}]
return x=%x, q=%q, ck=%nk, cv=%nv`

// qkvNormedBody is qkvHeadsBody without biases and with a norm over each head of q and k.
var qkvNormedBody = strings.NewReplacer(
	"%bq = weight \"bq\" : f32[{Q}]\n", "%gq = weight \"gq\" : f32[{D}]\n",
	"%bk = weight \"bk\" : f32[{D}]\n", "%gk = weight \"gk\" : f32[{D}]\n",
	"%bv = weight \"bv\" : f32[{D}]\n", "",
	"%q1 = add %q0, %bq : f32[T, {Q}]\n", "",
	"%k1 = add %k0, %bk : f32[T, {D}]\n", "",
	"%v1 = add %v0, %bv : f32[T, {D}]\n", "",
	"%q2 = kv_rearrange %q1 {heads=3} : f32[3, T, {D}]", `%q3 = kv_rearrange %q0 {heads=3} : f32[3, T, {D}]
%q2 = rms_norm %q3, %gq {eps=0.01} : f32[3, T, {D}]`,
	"%k2 = kv_rearrange %k1 {heads=1} : f32[1, T, {D}]", `%k3 = kv_rearrange %k0 {heads=1} : f32[1, T, {D}]
%k2 = rms_norm %k3, %gk {eps=0.01} : f32[1, T, {D}]`,
	"kv_rearrange %v1", "kv_rearrange %v0",
).Replace(qkvHeadsBody)

// The second half of a layer: product and residual, norm, gate and up, SwiGLU,
// down and its residual, and the norm and product behind them.
const mlpBody = `
%a = input "a" : f32[T, {K}]
%r = input "r" : f32[T, {N}]
%wo = weight "wo" : {W}[{N}, {K}]
%g = weight "g" : f32[{N}]
%wg = weight "wg" : {W}[{M}, {N}]
%wu = weight "wu" : {W}[{M}, {N}]
%wd = weight "wd" : {W}[{N}, {M}]
%g2 = weight "g2" : f32[{N}]
%wn = weight "wn" : {W}[{M}, {N}]
%o = matmul_nt %a, %wo : f32[T, {N}]
%x = add %o, %r : f32[T, {N}]
%h = rms_norm %x, %g {eps=0.01} : f32[T, {N}]
%ga = matmul_nt %h, %wg : f32[T, {M}]
%up = matmul_nt %h, %wu : f32[T, {M}]
%s = silu %ga : f32[T, {M}]
%m = mul %s, %up : f32[T, {M}]
%d = matmul_nt %m, %wd : f32[T, {N}]
%y = add %d, %x : f32[T, {N}]
%h2 = rms_norm %y, %g2 {eps=1e-06} : f32[T, {N}]
%z = matmul_nt %h2, %wn : f32[T, {M}]
return x=%x, y=%y, z=%z`

const residualBody = `
%a = input "a" : f32[T, {K}]
%r = input "r" : f32[T, {N}]
%w = weight "w" : {W}[{N}, {K}]
%o = matmul_nt %a, %w : f32[T, {N}]
%y = add %o, %r : f32[T, {N}]
return y=%y`

const biasBody = `
%a = input "a" : f32[T, {K}]
%b = weight "b" : f32[{N}]
%w = weight "w" : {W}[{N}, {K}]
%o = matmul_nt %a, %w : f32[T, {N}]
%y = add %o, %b : f32[T, {N}]
return y=%y`

const residualNormBody = `
%a = input "a" : f32[T, {K}]
%b = input "b" : f32[T, {K}]
%g = weight "g" : f32[{K}]
%x = add %a, %b : f32[T, {K}]
%y = rms_norm %x, %g {eps=0.01} : f32[T, {K}]
return x=%x, y=%y`

// Norm, gate and up; biases where {BG} and {BU} name them.
const gateUpBody = `
%x = input "x" : f32[T, {K}]
%g = weight "g" : f32[{K}]
%wg = weight "wg" : {W}[{N}, {K}]
%wu = weight "wu" : {W}[{N}, {K}]
%h = rms_norm %x, %g {eps=0.01} : f32[T, {K}]
%ga = matmul_nt %h, %wg : f32[T, {N}]
%up = matmul_nt %h, %wu : f32[T, {N}]
return ga=%ga, up=%up`

const gateUpBiasBody = `
%x = input "x" : f32[T, {K}]
%wg = weight "wg" : {W}[{N}, {K}]
%wu = weight "wu" : {W}[{N}, {K}]
%bg = weight "bg" : f32[{N}]
%bu = weight "bu" : f32[{N}]
%g0 = matmul_nt %x, %wg : f32[T, {N}]
%u0 = matmul_nt %x, %wu : f32[T, {N}]
%ga = add %g0, %bg : f32[T, {N}]
%up = add %u0, %bu : f32[T, {N}]
%s = silu %ga : f32[T, {N}]
%y = mul %s, %up : f32[T, {N}]
return y=%y`

const swigluBody = `
%x = input "x" : f32[T, {K}]
%g = weight "g" : f32[{K}]
%wg = weight "wg" : {W}[{N}, {K}]
%wu = weight "wu" : {W}[{N}, {K}]
%h = rms_norm %x, %g {eps=0.01} : f32[T, {K}]
%ga = matmul_nt %h, %wg : f32[T, {N}]
%up = matmul_nt %h, %wu : f32[T, {N}]
%s = silu %ga : f32[T, {N}]
%y = mul %s, %up : f32[T, {N}]
return y=%y`

const downBody = `
%g = input "g" : f32[T, {K}]
%u = input "u" : f32[T, {K}]
%r = input "r" : f32[T, {N}]
%w = weight "w" : {W}[{N}, {K}]
%s = silu %g : f32[T, {K}]
%m = mul %s, %u : f32[T, {K}]
%d = matmul_nt %m, %w : f32[T, {N}]
%y = add %d, %r : f32[T, {N}]
return y=%y`

// The last row's norm, logits and token.
const headBody = `
%x = input "x" : f32[T, {K}]
%g = weight "g" : f32[{K}]
%w = weight "w" : {W}[{N}, {K}]
%l = slice %x {axis=0, start=T-1, size=1} : f32[1, {K}]
%h = rms_norm %l, %g {eps=0.01} : f32[1, {K}]
%y = matmul_nt %h, %w : f32[1, {N}]
%t = argmax %y : i32[1]
return y=%y, t=%t`

// The head of all rows, where all logits are asked for.
const headRowsBody = `
%x = input "x" : f32[T, {K}]
%g = weight "g" : f32[{K}]
%w = weight "w" : {W}[{N}, {K}]
%h = rms_norm %x, %g {eps=0.01} : f32[T, {K}]
%y = matmul_nt %h, %w : f32[T, {N}]
return y=%y`

// The head behind a product and its residual.
const headBehindBody = `
%a = input "a" : f32[T, {K}]
%r = input "r" : f32[T, {K}]
%wo = weight "wo" : {W}[{K}, {K}]
%g = weight "g" : f32[{K}]
%w = weight "w" : {W}[{N}, {K}]
%o = matmul_nt %a, %wo : f32[T, {K}]
%x = add %o, %r : f32[T, {K}]
%h = rms_norm %x, %g {eps=0.01} : f32[T, {K}]
%y = matmul_nt %h, %w : f32[T, {N}]
%t = argmax %y : i32[T]
return y=%y, t=%t`

// Lookup, norm and a product that can finish the norm.
const embeddingNormBody = `
%ids = input "ids" : i32[T]
%e = weight "e" : {W}[50, {K}]
%g = weight "g" : f32[{K}]
%w = weight "w" : {W}[{N}, {K}]
%x = embedding %ids, %e : f32[T, {K}]
%h = rms_norm %x, %g {eps=0.01} : f32[T, {K}]
%y = matmul_nt %h, %w : f32[T, {N}]
return x=%x, y=%y`

const argmaxBody = `
%x = input "x" : f32[{R}, {K}]
%y = argmax %x : i32[{R}]
return y=%y`

const sampleBody = `
%x = input "x" : f32[{R}, {K}]
%s = input "s" : f32[5]
%u = input "u" : f32[{R}]
%seen = input "seen" : i32[9]
%y = sample %x, %s, %u, %seen : i32[{R}]
return y=%y`

const createdBody = `
%a = arange {start=P+3, size=S} : f32[S]
%b = arange {start=0, size=4097} : f32[4097]
return a=%a, b=%b`

const onesBody = `
%a = ones {size=S} : f32[S]
%b = ones {size=33} : f32[33]
return a=%a, b=%b`

const randomBody = `
%k = input "k" : i32[3]
%a = random_uniform %k {size=1} : f32[1]
%b = random_uniform %k {size=2049} : f32[2049]
return a=%a, b=%b`

const castBody = `
%x = input "x" : f32[T, {K}]
%y = cast %x {to={W}} : {W}[T, {K}]
return y=%y`

const copiesBody = `
%x = input "x" : f32[3, T, 8]
%z = input "z" : f32[T, 5]
%t = transpose %x {perm=[1,0,2,0]} : f32[T, 3, 8]
%y = reshape %t {shape=[T,24]} : f32[T, 24]
%c = concat %y, %z {axis=1} : f32[T, 29]
%s = slice %c {axis=1, start=3, size=9} : f32[T, 9]
return y=%y, c=%c, s=%s`
