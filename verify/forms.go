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

func embeddingForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, k := range some(quick, 1, lengths(t)) {
		out = append(out, many(33, window, "", fill(embeddingBody, "W", t, "K", k)))
	}
	return append(out, strangers("", fill(embeddingBody, "W", t, "K", lengths(t)[0]))...)
}

// strangers look up ids outside a table of 50: the first behind it, beside one that is
// in it, and one that would be a large offset.
func strangers(passes, body string) []form {
	two := many(2, window, passes, body)
	two.bounds.TMin = 2
	two.values, two.refuse = map[string][]float32{"ids": {3, 50}}, "id 50 "
	far := one(window-1, passes, body)
	far.values, far.refuse = map[string][]float32{"ids": {-1}}, "id -1 "
	return []form{two, far}
}

func normForms(t dtype.Type, quick bool) []form {
	var out []form
	if t != dtype.F32 {
		for _, k := range some(quick, 1, lengths(t)) {
			out = append(out, one(window-1, "", fill(normRowsBody, "W", t, "K", k)))
		}
		return out
	}
	for _, k := range some(quick, 5, lengths(t)) {
		out = append(out, many(33, window, "", fill(normBody, "K", k, "E", "1e-06")))
	}
	return append(out, one(window-1, "", fill(normBody, "K", 896, "E", "0.01")))
}

func normStepForms(_ dtype.Type, quick bool) []form {
	var out []form
	for _, k := range some(quick, 1, [][2]int{{896, 8}, {33, 11}, {8960, 16}, {4864, 1}}) {
		out = append(out, many(33, window, "", fill(normStepsBody, "K", k[0], "M", k[1], "R", k[0]/k[1])))
	}
	return out
}

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

// settings of the sampler: temperature, top-k, top-p, min-p, repetition penalty.
var settings = [][]float32{
	{1, 40, 0.9, 0, 1.1}, {0, 0, 1, 0, 1.3}, {0.7, 20, 0.8, 0, 1}, {1, 0, 1, 0.05, 1}, {1, 0, 1, 0, 1}, {1.5, 1000, 0.95, 0.02, 1.1}, {1, 0, 0.999, 0, 1},
}

func sampleForms(_ dtype.Type, quick bool) []form {
	var out []form
	for i, vocab := range some(quick, 1, []int{4097, 33, 131071, 131072, 131073, 152064, 1}) {
		for j := range some(quick || vocab > 1<<16, 2, settings) {
			out = append(out, sampled(vocab, settings[(2*i+j)%len(settings)]).louder("x", 8))
		}
	}
	for _, vocab := range some(quick, 1, []int{4097, 131073}) {
		for _, s := range settings {
			f := sampled(vocab, s)
			f.values["x"], f.values["u"] = sloped(vocab), []float32{0.9997, 0.0002, 0.5}
			out = append(out, f)
		}
	}
	for _, vocab := range some(quick, 1, []int{4097, 33, 131073}) {
		for _, s := range [][]float32{{0, 0, 1, 0, 1}, {1, 2, 1, 0, 1}, {1, 0, 0.5, 0, 1}} {
			f := sampled(vocab, s)
			f.values["x"] = tied(vocab)
			out = append(out, f)
		}
		f := sampled(vocab, []float32{0, 0, 1, 0, 1.3})
		f.values["x"], f.values["seen"] = belowZero(vocab)
		out = append(out, f)
	}
	return out
}

// sampled is three rows of logits under settings.
func sampled(vocab int, settings []float32) form {
	f := one(window-1, "", fill(sampleBody, "R", 3, "K", vocab))
	f.values, f.nudge = map[string][]float32{"s": settings}, "u"
	return f
}

// sloped is three rows of n logits that fall, rise and fall with the id: what a filter
// takes away lies at an end, where random numbers near 1 and 0 miss it.
func sloped(n int) []float32 {
	x := make([]float32, 3*n)
	for i := range n {
		down := 8 - 16*float32(i)/float32(n)
		x[i], x[n+n-1-i], x[2*n+i] = down, down, down
	}
	return x
}

// tied is three rows of n elements whose largest stands at four places: two side by
// side, and two that are far apart.
func tied(n int) []float32 {
	x := make([]float32, 3*n)
	for i := range x {
		x[i] = -1 - float32(i%7)
	}
	for r := range 3 {
		for _, at := range []int{n/5 + r, n/5 + r + 1, n / 2, n - 1 - r} {
			x[r*n+at] = 2
		}
	}
	return x
}

// belowZero is three rows of n negative logits and tokens seen: the largest logit of a
// row is of a token seen, and the next is larger than that one times 1.3.
func belowZero(n int) (x, seen []float32) {
	x = make([]float32, 3*n)
	for i := range x {
		x[i] = -2 - float32(i%13)/16
	}
	for i := range 9 {
		seen = append(seen, float32(i*n/9))
	}
	for r := range 3 {
		at := r*n + int(seen[3*r])
		x[at], x[at+1] = -1, -1.2
	}
	return x, seen
}

func argmaxForms(_ dtype.Type, quick bool) []form {
	var out []form
	for _, n := range some(quick, 2, []int{33, 4097, 1, 31, 32, 896, 4864, 8960, 131071, 131072, 131073, 152064}) {
		f := one(window-1, "", fill(argmaxBody, "R", 3, "K", n))
		out = append(out, f)
		if n == 33 || n == 4097 || n == 131073 {
			f.values = map[string][]float32{"x": tied(n)}
			out = append(out, f)
		}
	}
	return out
}

func arangeForms(dtype.Type, bool) []form {
	return []form{many(33, long, "", fill(createdBody)), one(long-1, "", fill(createdBody))}
}

func onesForms(dtype.Type, bool) []form { return []form{many(33, long, "", fill(onesBody))} }

func randomForms(dtype.Type, bool) []form { return []form{many(33, window, "", fill(randomBody))} }

func residualNormForms(t dtype.Type, quick bool) []form {
	var out []form
	for _, k := range some(quick, 2, lengths(t)) {
		out = append(out, many(33, window, "fuse-residual-norm", fill(residualNormBody, "K", k)))
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
