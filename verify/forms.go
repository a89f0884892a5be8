package verify

import (
	"slices"

	"foundry/ir/dtype"
)

// window is that of forms with a cache: its last position lies behind 1,023, and
// attention takes it in several parts.
const window = 1200

// long is a context of the longest published models.
const long = 32768

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

// over returns the forms that decode and prefill have of a body: one row, many,
// and many in tiles where the type can be in tiles. A quick run takes one row, and
// many of f16.
func over(t dtype.Type, quick bool, passes string, body func(k int64) string) []form {
	var out []form
	for _, k := range spread(t, quick, 2) {
		out = append(out, one(window-1, passes, body(k)))
	}
	if quick && t != dtype.F16 {
		return out
	}
	for _, k := range spread(t, quick, 1) {
		out = append(out, many(33, window, passes, body(k)))
	}
	if t == dtype.F32 || quick {
		return out
	}
	return append(out, many(65, window, passes, body(lengths(t)[1])).inTiles())
}

func embeddingForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, k := range some(quick, 1, lengths(t)) {
		out = append(out, many(33, window, "", fill(embeddingBody, "W", t, "K", k)))
	}
	return out
}

func normForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, k := range some(quick, 5, lengths(t)) {
		out = append(out, many(33, window, "", fill(normBody, "K", k)))
	}
	return append(out, one(window-1, "", fill(normBody, "K", 896)))
}

func normStepForms(_ dtype.Type, quick bool) []form {
	var out []form
	for _, k := range some(quick, 1, [][2]int{{896, 8}, {33, 11}, {8960, 16}, {4864, 1}}) {
		out = append(out, many(33, window, "", fill(normStepsBody, "K", k[0], "M", k[1], "R", k[0]/k[1])))
	}
	return out
}

// headDims are those of the checklist, 64 first.
var headDims = []int{64, 80, 96, 128}

func ropeForms(_ dtype.Type, quick bool) []form {
	var out []form
	for _, d := range some(quick, 2, slices.Concat(headDims, []int{6})) {
		out = append(out, many(33, long, "", fill(ropeBody, "D", d, "H", d/2)))
	}
	return append(out, one(long-1, "", fill(ropeBody, "D", 64, "H", 32)))
}

func rearrangeForms(_ dtype.Type, quick bool) []form {
	var out []form
	for _, x := range some(quick, 2, [][2]int{{3, 64}, {2, 33}, {14, 64}, {12, 128}, {1, 80}, {5, 1}}) {
		out = append(out, many(33, window, "", fill(rearrangeBody, "H", x[0], "D", x[1], "K", x[0]*x[1])))
	}
	return out
}

func cacheWriteForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, d := range some(quick, 1, slices.Concat(headDims, []int{33})) {
		out = append(out, many(33, window, "", fill(cacheWriteBody, "C", t, "L", window, "D", d)))
	}
	return out
}

func repeatForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, d := range some(quick, 1, slices.Concat(headDims, []int{33})) {
		out = append(out, many(33, window, "", fill(repeatBody, "C", t, "L", window, "D", d, "R", 3, "H", 6)))
	}
	return out
}

func siluForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, k := range some(quick, 2, lengths(t)) {
		out = append(out, many(33, window, "", fill(siluMulBody, "K", k)).louder("g", 20))
	}
	return out
}

func swigluForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, k := range some(quick, 2, lengths(t)) {
		out = append(out, many(33, window, "fuse-swiglu", fill(siluMulBody, "K", k)).louder("g", 20))
	}
	biased := many(33, window, "fuse-swiglu", fill(siluMulBiasBody, "K", 33))
	zero := biased
	zero.values = map[string][]float32{"bg": make([]float32, 33), "bu": make([]float32, 33)}
	return append(out, biased, zero)
}

func addForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, k := range some(quick, 2, lengths(t)) {
		for _, b := range []string{"", "T, "} {
			out = append(out, many(33, window, "", fill(addBody, "W", t, "K", k, "B", b)))
		}
	}
	if t == dtype.F32 {
		out = append(out, many(33, window, "", fill(addInPlaceBody, "K", 896)))
	}
	return out
}

func elementwiseForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, k := range some(quick, 2, lengths(t)) {
		out = append(out, many(33, window, "fuse-elementwise", fill(elementwiseBody, "K", k)))
	}
	return out
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
	return out
}

// softmaxRows are lengths below 256, 256 to 2,047, 2,048 to 4,095 and above 4,096
// that rows of t allow; the first four are a quick run's.
func softmaxRows(t dtype.Type, quick bool) []int {
	per, _ := t.Block()
	all := []int{33, 896, 2049, 4864, 1, 31, 32, 255, 256, 2047, 2048, 4095, 4096, 8960}
	if per > 1 {
		all = []int{3 * per, 4864, 2048, 4096, per, 256, 8960}
	}
	if t != dtype.F32 {
		return some(quick, 1, all)
	}
	return some(quick, 4, all)
}

// softmaxOf is rows of t alone, and causal rows over a cache, with the segment in
// both as text.
func softmaxOf(t dtype.Type, quick bool, segment string) []form {
	var out []form
	source := "weight"
	if t == dtype.F32 {
		source = "input"
		causal := fill(softmaxBody, "A", "true", "P", "P", "G", segment)
		out = append(out, many(33, window, "", causal), one(window-1, "", causal))
		if !quick {
			out = append(out, many(33, window, "", fill(softmaxBody, "A", "false", "P", 0, "G", segment)))
		}
	}
	for _, k := range softmaxRows(t, quick) {
		out = append(out, one(window-1, "", fill(softmaxRowBody, "I", source, "W", t, "R", 3, "K", k, "G", segment)))
	}
	for i := range out {
		out[i] = out[i].louder("x", 8)
	}
	return out
}

func softmaxVectorForms(t dtype.Type, quick bool) []form { return softmaxOf(t, quick, "") }

// softmaxBlockForms forces segments on rows of every length; the twin is the vector
// form.
func softmaxBlockForms(t dtype.Type, quick bool) []form {
	forced := func(segment string, quick bool) []form {
		out, plain := softmaxOf(t, quick, segment), softmaxOf(t, quick, "")
		for i := range out {
			out[i].twin = plain[i].body
		}
		return out
	}
	if quick {
		return forced(", segment=256", true)
	}
	return append(forced(", segment=256", false), forced(", segment=1024", true)...)
}

func scoresForms(t dtype.Type, quick bool) []form {
	return cached(t, quick, "", fill(scoresBody))
}

func weightedForms(t dtype.Type, quick bool) []form {
	return cached(t, quick, "", fill(weightedBody))
}

// cached returns the forms of a body over a cache: decode and prefill of every
// head_dim, in tiles too. A quick run takes decode, and of f16 prefill as well.
func cached(t dtype.Type, quick bool, passes, body string) []form {
	at := func(d, l int) string { return fill(body, "C", t, "D", d, "H", d/2, "L", l, "Q", 4) }
	out := []form{one(window-1, passes, at(64, window))}
	if t == dtype.F16 {
		out = append(out, many(65, window, passes, at(80, window)).inTiles())
	}
	if !quick {
		out = nil
		for _, d := range headDims {
			out = append(out, one(window-1, passes, at(d, window)), many(33, window, passes, at(d, window)))
			if t == dtype.F16 {
				out = append(out, many(65, window, passes, at(d, window)).inTiles())
			}
		}
		if t == dtype.F16 {
			out = append(out, one(long-1, passes, at(64, long)))
		}
	}
	for i := range out {
		out[i] = out[i].louder("q", 8)
	}
	return out
}

func flashForms(t dtype.Type, quick bool) []form {
	out := cached(t, quick, "fuse-attention", fill(attentionBody, "A", "true", "P", "P"))
	full := many(33, window, "fuse-attention", fill(attentionBody, "A", "false", "P", 0, "C", t, "D", 80, "L", window, "Q", 4)).louder("q", 8)
	if quick {
		return out
	}
	out = append(out, full)
	if t == dtype.F16 {
		out = append(out, full.inTiles())
	}
	return out
}

func splitForms(t dtype.Type, quick bool) []form {
	const pass = "fuse-attention-split"
	var out []form
	for _, d := range some(quick, 1, headDims) {
		at := fill(attentionBody, "A", "true", "P", "P", "C", t, "D", d, "L", window, "Q", 4)
		out = append(out, one(window-1, pass, at).louder("q", 8))
		if !quick {
			out = append(out, many(9, window, pass, at).louder("q", 8))
		}
	}
	if !quick && t == dtype.F16 {
		out = append(out, one(long-1, pass, fill(attentionBody, "A", "true", "P", "P", "C", t, "D", 64, "L", long, "Q", 4)).louder("q", 8))
	}
	return out
}

func splitOutForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, d := range some(quick || t != dtype.F16, 1, headDims) {
		n := 96
		if per, _ := t.Block(); per > 32 {
			n = per
		}
		body := fill(attentionOutBody, "W", t, "C", "f16", "D", d, "H", d/2, "L", window, "K", 4*d, "N", n)
		if per, _ := t.Block(); 4*d%per != 0 {
			continue
		}
		out = append(out, one(window-1, "fuse-attention-split-o", body).louder("q", 8))
		if !quick {
			out = append(out, one(window-1, "split-norm,fuse-attention-split-o", body).louder("q", 8))
		}
	}
	return out
}

func ropeAttentionForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, d := range some(quick, 1, headDims) {
		body := fill(attentionOutBody, "W", "f32", "C", t, "D", d, "H", d/2, "L", window, "K", 4*d, "N", 16)
		out = append(out, one(window-1, "fuse-rope-attention", body).louder("q", 8))
		if !quick {
			out = append(out, many(33, window, "fuse-rope-attention", body).louder("q", 8))
			if t == dtype.F16 {
				out = append(out, many(33, window, "fuse-rope-attention", body).louder("q", 8).inTiles())
			}
		}
	}
	return out
}

// settings of the sampler: temperature, top-k, top-p, min-p, repetition penalty.
var settings = [][]float32{
	{1, 40, 0.9, 0, 1.1}, {0, 0, 1, 0, 1.3}, {0.7, 20, 0.8, 0, 1}, {1, 0, 1, 0.05, 1}, {1, 0, 1, 0, 1}, {1.5, 1000, 0.95, 0.02, 1.1}, {1, 0, 0.999, 0, 1},
}

func sampleForms(_ dtype.Type, quick bool) []form {
	var out []form
	for i, vocab := range some(quick, 1, []int{4097, 33, 131071, 131072, 131073, 152064, 1}) {
		for j, s := range some(quick || vocab > 1<<16, 2, settings) {
			f := one(window-1, "", fill(sampleBody, "R", 3, "K", vocab)).louder("x", 8)
			f.values = map[string][]float32{"s": settings[(i+j)%len(settings)]}
			if !quick {
				f.values["s"] = s
			}
			f.nudge = "u"
			out = append(out, f)
		}
	}
	return out
}

func argmaxForms(_ dtype.Type, quick bool) []form {
	var out []form
	for _, n := range some(quick, 2, []int{33, 4097, 1, 31, 32, 896, 4864, 8960, 131071, 131072, 131073, 152064}) {
		out = append(out, one(window-1, "", fill(argmaxBody, "R", 3, "K", n)))
	}
	return out
}

func arangeForms(dtype.Type, bool) []form {
	return []form{many(33, long, "", fill(createdBody)), one(long-1, "", fill(createdBody))}
}

func onesForms(dtype.Type, bool) []form { return []form{many(33, long, "", fill(onesBody))} }

func randomForms(dtype.Type, bool) []form { return []form{many(33, window, "", fill(randomBody))} }

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

func headForms(pass string) func(t dtype.Type, quick bool) []form {
	return func(t dtype.Type, quick bool) []form {
		var out []form
		for _, d := range some(quick, 1, headDims) {
			body := fill(headsBody, "Q", 3*d, "D", d, "H", d/2, "C", t, "L", window)
			out = append(out, many(33, window, pass, body))
			if !quick {
				out = append(out, one(window-1, pass, body))
			}
		}
		return out
	}
}

// qkvHeadForms: alone, and behind a residual that leaves sums of squares.
func qkvHeadForms(t dtype.Type, quick bool) []form {
	body := func(k int64) string {
		return fill(qkvHeadsBody, "K", k, "Q", 192, "D", 64, "H", 32, "C", "f16", "L", window, "WQ", t, "WK", t, "WV", t)
	}
	return qkvHeadsOver(t, quick, body)
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

func residualNormForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, k := range some(quick, 2, lengths(t)) {
		out = append(out, many(33, window, "fuse-residual-norm", fill(residualNormBody, "K", k)))
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
	return append(over(t, quick, "fuse-swiglu-down", func(k int64) string {
		return fill(downBody, "W", t, "K", k, "N", oddRows)
	}), mlpForms(t, quick, "split-norm,fuse-swiglu-down,fuse-residual")...)
}

func headProductForms(t dtype.Type, quick bool) []form {
	var out []form
	for i, k := range spread(t, quick, 2) {
		body := fill(headBody, "W", t, "K", k, "N", 301)
		out = append(out, one(window-1, "fuse-head", body))
		if i == 0 && !quick {
			out = append(out, many(33, window, "fuse-head", body))
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
	}
	return out
}

func castForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, k := range some(quick, 2, lengths(t)) {
		out = append(out, many(33, window, "", fill(castBody, "W", t, "K", k)))
	}
	return out
}

func copyForms(dtype.Type, bool) []form { return []form{many(33, window, "", fill(copiesBody))} }
