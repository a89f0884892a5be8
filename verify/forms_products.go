package verify

import (
	"slices"

	"foundry/ir/dtype"
)

// rows of a weight, odd so that the last simdgroup and the last tile are part full.
const oddRows = 37

// spread returns the row lengths of a product of weights of t: all of f16, a few
// elsewhere, where only what reads the weights differs. A quick run takes one.
func spread(t dtype.Type, quick bool, few int) []int64 {
	switch {
	case quick:
		few = 1
	case t == dtype.F16:
		few = len(lengths(t))
	}
	return lengths(t)[:few]
}

// wide are lengths of the checklist that blocks of every format divide.
var wide = []int64{4864, 8960}

// over returns the forms that decode and prefill have of a body: one row, in the wide
// lengths too, many, and many in tiles where the type can be in tiles. A quick run
// takes one row, and many of f16.
func over(t dtype.Type, quick bool, passes string, body func(k int64) string) []form {
	var out []form
	for _, k := range spread(t, quick, 1) {
		out = append(out, one(window-1, passes, body(k)))
	}
	if quick && t != dtype.F16 {
		return out
	}
	if !quick && t != dtype.F16 {
		for _, k := range wide {
			out = append(out, one(window-1, passes, body(k)))
		}
	}
	out = append(out, many(33, window, passes, body(lengths(t)[0])))
	if t == dtype.F32 || quick {
		return out
	}
	return append(out, many(65, window, passes, body(lengths(t)[1])).inTiles())
}

func gemvForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, k := range spread(t, quick, len(lengths(t))) {
		out = append(out, one(window-1, "", fill(matmulBody, "W", t, "K", k, "N", oddRows)))
	}
	for _, k := range spread(t, quick, 2) {
		out = append(out, many(33, window, "", fill(matmulBody, "W", t, "K", k, "N", oddRows)))
	}
	return out
}

func gemmForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, k := range spread(t, quick, 2) {
		out = append(out, many(65, window, "", fill(matmulBody, "W", t, "K", k, "N", 2*oddRows)).inTiles())
	}
	if !quick {
		out = append(out, many(129, window, "", fill(matmulBody, "W", t, "K", lengths(t)[1], "N", 260)).inTiles())
	}
	if t == dtype.F16 { // and behind another dispatch, which leaves halves
		for _, k := range some(quick, 1, []int64{896, 96, 48, 40}) {
			out = append(out, many(65, window, "", fill(madeBody, "W", t, "K", k, "N", 2*oddRows)).inTiles())
		}
	}
	return out
}

func qkvForms(pass string) func(t dtype.Type, quick bool) []form {
	return func(t dtype.Type, quick bool) []form {
		body := func(k int64) string {
			return fill(qkvBody, "K", k, "Q", 3*oddRows, "D", oddRows, "WQ", t, "WK", t, "WV", t)
		}
		return append(over(t, quick, pass, body), less(t, quick, pass+"{bias=false}", body)...)
	}
}

// less is a few forms of a fusion that leaves something out.
func less(t dtype.Type, quick bool, passes string, body func(k int64) string) []form {
	if quick {
		return nil
	}
	out := []form{one(window-1, passes, body(lengths(t)[0]))}
	if t == dtype.F16 {
		out = append(out, many(65, window, passes, body(lengths(t)[0])).inTiles())
	}
	return out
}

func qkvMixed(pass string) func(quick bool) []form {
	return func(quick bool) []form {
		if quick {
			return nil
		}
		body := fill(qkvBody, "K", 256, "Q", 96, "D", 32, "WQ", dtype.Q8_0, "WK", dtype.Q4_K, "WV", dtype.F16)
		return []form{one(window-1, pass, body), many(33, window, pass, body), many(65, window, pass, body).inTiles()}
	}
}

// qkvHeadForms: alone, and behind a residual that leaves sums of squares; heads of 64,
// and a few of 80 and 128.
func qkvHeadForms(t dtype.Type, quick bool) []form {
	body := func(d int) func(k int64) string {
		return func(k int64) string {
			return fill(qkvHeadsBody, "K", k, "Q", 3*d, "D", d, "H", d/2, "C", "f16", "L", window, "WQ", t, "WK", t, "WV", t)
		}
	}
	out := qkvHeadsOver(t, quick, body(64))
	if quick {
		return out
	}
	out = append(out, less(t, quick, "fuse-qkv-rope-kv{norm=false}", body(64))...)
	for _, d := range []int{80, 128} {
		out = append(out, one(window-1, "fuse-qkv-rope-kv", body(d)(lengths(t)[1])))
		if t == dtype.F16 {
			out = append(out, many(33, window, "fuse-qkv-rope-kv", body(d)(lengths(t)[0])),
				many(65, window, "fuse-qkv-rope-kv", body(d)(lengths(t)[1])).inTiles())
		}
	}
	return out
}

func qkvHeadsOver(t dtype.Type, quick bool, body func(k int64) string) []form {
	const alone, sums = "fuse-qkv-rope-kv", "split-norm,fuse-residual,fuse-qkv-rope-kv"
	var out []form
	for i, k := range spread(t, quick, 1) {
		out = append(out, one(window-1, sums, body(k)))
		if i == 0 && !quick {
			out = append(out, one(window-1, alone, body(k)), many(33, window, sums, body(k)))
		}
		if i == 0 && (t == dtype.F16 || !quick) {
			out = append(out, many(33, window, alone, body(k)))
		}
	}
	if !quick && t != dtype.F32 {
		out = append(out, many(65, window, alone, body(lengths(t)[1])).inTiles())
	}
	if !quick && t == dtype.F16 {
		out = append(out, many(65, window, sums, body(lengths(t)[1])).inTiles())
	}
	return out
}

func qkvHeadMixed(quick bool) []form {
	body := func(int64) string {
		return fill(qkvHeadsBody, "K", 256, "Q", 192, "D", 64, "H", 32, "C", "f32", "L", window, "WQ", dtype.Q5_1, "WK", dtype.Q6_K, "WV", dtype.BF16)
	}
	return qkvHeadsOver(dtype.Q6_K, quick, body)
}

func residualForms(t dtype.Type, quick bool) []form {
	return append(over(t, quick, "fuse-residual{sums=false}", func(k int64) string {
		return fill(residualBody, "W", t, "K", k, "N", oddRows)
	}), mlpForms(t, quick, "split-norm,fuse-residual")...)
}

func biasForms(t dtype.Type, quick bool) []form {
	return over(t, quick, "fuse-bias", func(k int64) string { return fill(biasBody, "W", t, "K", k, "N", oddRows) })
}

// mlpForms runs the second half of a layer, in which products leave sums of squares.
func mlpForms(t dtype.Type, quick bool, passes string) []form {
	if quick || t != dtype.F16 && t != dtype.F32 && t != dtype.Q8_0 {
		return nil // what the epilogue leaves does not depend on the weights
	}
	const n = 64
	body := fill(mlpBody, "W", t, "K", n, "N", n, "M", 2*n)
	out := []form{one(window-1, passes, body), many(33, window, passes, body)}
	if t != dtype.F32 {
		out = append(out, many(65, window, passes, body).inTiles())
	}
	return out
}

func gateUpForms(t dtype.Type, quick bool) []form {
	body := func(k int64) string { return fill(gateUpBody, "W", t, "K", k, "N", oddRows) }
	biased := func(k int64) string { return fill(gateUpBiasBody, "W", t, "K", k, "N", oddRows) }
	return slices.Concat(over(t, quick, "fuse-gate-up{norm=true}", body), over(t, true, "fuse-gate-up", biased), less(t, quick, "fuse-gate-up", body))
}

func gateUpSwigluForms(t dtype.Type, quick bool) []form {
	body := func(k int64) string { return fill(swigluBody, "W", t, "K", k, "N", oddRows) }
	out := slices.Concat(over(t, quick, "fuse-gate-up-swiglu", body), less(t, quick, "fuse-gate-up-swiglu{norm=false}", body),
		mlpForms(t, quick, "split-norm,fuse-residual,fuse-gate-up-swiglu"))
	biased := one(window-1, "fuse-gate-up-swiglu", fill(gateUpBiasBody, "W", t, "K", lengths(t)[0], "N", oddRows))
	zero := biased
	zero.values = map[string][]float32{"bg": make([]float32, oddRows), "bu": make([]float32, oddRows)}
	return append(out, biased, zero)
}

func downForms(t dtype.Type, quick bool) []form {
	out := over(t, quick, "fuse-swiglu-down", func(k int64) string {
		return fill(downBody, "W", t, "K", k, "N", oddRows)
	})
	for i := range out {
		out[i] = out[i].louder("g", 8) // or the residual would hide the product
	}
	return append(out, mlpForms(t, quick, "split-norm,fuse-swiglu-down,fuse-residual")...)
}

func headProductForms(t dtype.Type, quick bool) []form {
	var out []form
	for i, k := range spread(t, quick, 2) {
		body := fill(headBody, "W", t, "K", k, "N", 301)
		out = append(out, one(window-1, "fuse-head", body))
		if i == 0 && !quick {
			out = append(out, many(33, window, "fuse-head", body))
		}
		if i == 0 && t == dtype.F16 { // logits that are all the same
			same := one(window-1, "fuse-head", body)
			same.values = map[string][]float32{"w": slices.Repeat([]float32{0.5}, int(301*k))}
			out = append(out, same)
		}
	}
	if quick {
		return out
	}
	body := fill(headBehindBody, "W", t, "K", 256, "N", 301)
	return append(out, one(window-1, "fuse-head{norm=false}", body), one(window-1, "split-norm,fuse-residual,fuse-head", body))
}

func embeddingNormForms(t dtype.Type, quick bool) []form {
	var out []form
	for i, k := range some(quick, 1, lengths(t)[:2]) {
		body := fill(embeddingNormBody, "W", t, "K", k, "N", oddRows)
		out = append(out, many(33, window, "fuse-embedding-norm", body))
		if i == 0 || !quick {
			out = append(out, one(window-1, "split-norm,fuse-embedding-norm", body))
		}
		if i == 0 {
			out = append(out, strangers("fuse-embedding-norm", body)...)
		}
	}
	return out
}
