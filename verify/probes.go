package verify

import (
	"slices"

	"foundry/ir/dtype"
)

// window is that of probes with a cache: its last position lies behind 1,023, and
// attention takes it in several parts.
const window = 1200

// long is a context of the longest published models.
const long = 32768

func embeddingProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	for _, k := range firstFew(quick, 1, rowLengths(t)) {
		out = append(out, prefillProbe(33, window, "", fillBody(embeddingBody, "W", t, "K", k)))
	}
	return append(out, outsideIDs("", fillBody(embeddingBody, "W", t, "K", rowLengths(t)[0]))...)
}

// outsideIDs look up ids outside a table of 50: the first behind it, beside one that is
// in it, and one that would be a large offset.
func outsideIDs(passes, body string) []probe {
	two := prefillProbe(2, window, passes, body)
	two.bounds.TMin = 2
	two.values, two.refuse = map[string][]float32{"ids": {3, 50}}, "id 50 "
	far := decodeProbe(window-1, passes, body)
	far.values, far.refuse = map[string][]float32{"ids": {-1}}, "id -1 "
	return []probe{two, far}
}

func normProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	if t != dtype.F32 {
		for _, k := range firstFew(quick, 1, rowLengths(t)) {
			out = append(out, decodeProbe(window-1, "", fillBody(normRowsBody, "W", t, "K", k)))
		}
		return out
	}
	for _, k := range firstFew(quick, 5, rowLengths(t)) {
		out = append(out, prefillProbe(33, window, "", fillBody(normBody, "K", k, "E", "1e-06")))
	}
	return append(out, decodeProbe(window-1, "", fillBody(normBody, "K", 896, "E", "0.01")))
}

func normStepProbes(_ dtype.Type, quick bool) []probe {
	var out []probe
	for _, k := range firstFew(quick, 1, [][2]int{{896, 8}, {33, 11}, {8960, 16}, {4864, 1}}) {
		out = append(out, prefillProbe(33, window, "", fillBody(normStepsBody, "K", k[0], "M", k[1], "R", k[0]/k[1])))
	}
	return out
}

func ropeProbes(_ dtype.Type, quick bool) []probe {
	var out []probe
	for _, d := range firstFew(quick, 2, slices.Concat(headDims, []int{6})) {
		out = append(out, prefillProbe(33, long, "", fillBody(ropeBody, "D", d, "H", d/2)))
	}
	return append(out, decodeProbe(long-1, "", fillBody(ropeBody, "D", 64, "H", 32)))
}

func rearrangeProbes(_ dtype.Type, quick bool) []probe {
	var out []probe
	for _, x := range firstFew(quick, 2, [][2]int{{3, 64}, {2, 33}, {14, 64}, {12, 128}, {1, 80}, {5, 1}}) {
		out = append(out, prefillProbe(33, window, "", fillBody(rearrangeBody, "H", x[0], "D", x[1], "K", x[0]*x[1])))
	}
	return out
}

func cacheWriteProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	for _, d := range firstFew(quick, 1, slices.Concat(headDims, []int{33})) {
		out = append(out, prefillProbe(33, window, "", fillBody(cacheWriteBody, "C", t, "L", window, "D", d)))
	}
	return out
}

func repeatProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	for _, d := range firstFew(quick, 1, slices.Concat(headDims, []int{33})) {
		out = append(out, prefillProbe(33, window, "", fillBody(repeatBody, "C", t, "L", window, "D", d, "R", 3, "H", 6)))
	}
	return out
}

func siluProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	for _, k := range firstFew(quick, 2, rowLengths(t)) {
		out = append(out, prefillProbe(33, window, "", fillBody(siluMulBody, "K", k)).withGain("g", 20))
	}
	return out
}

func swigluProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	for _, k := range firstFew(quick, 2, rowLengths(t)) {
		out = append(out, prefillProbe(33, window, "fuse-swiglu", fillBody(siluMulBody, "K", k)).withGain("g", 20))
	}
	biased := prefillProbe(33, window, "fuse-swiglu", fillBody(siluMulBiasBody, "K", 33))
	zero := biased
	zero.values = map[string][]float32{"bg": make([]float32, 33), "bu": make([]float32, 33)}
	return append(out, biased, zero)
}

func addProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	for _, k := range firstFew(quick, 2, rowLengths(t)) {
		for _, b := range []string{"", "T, "} {
			out = append(out, prefillProbe(33, window, "", fillBody(addBody, "W", t, "K", k, "B", b)))
		}
	}
	if t == dtype.F32 {
		out = append(out, prefillProbe(33, window, "", fillBody(addInPlaceBody, "K", 896)))
	}
	return out
}

func elementwiseProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	for _, k := range firstFew(quick, 2, rowLengths(t)) {
		out = append(out, prefillProbe(33, window, "fuse-elementwise", fillBody(elementwiseBody, "K", k)))
	}
	return out
}

// settings of the sampler: temperature, top-k, top-p, min-p, repetition penalty.
var settings = [][]float32{
	{1, 40, 0.9, 0, 1.1}, {0, 0, 1, 0, 1.3}, {0.7, 20, 0.8, 0, 1}, {1, 0, 1, 0.05, 1}, {1, 0, 1, 0, 1}, {1.5, 1000, 0.95, 0.02, 1.1}, {1, 0, 0.999, 0, 1},
}

// sampleProbes: among them rows whose scores are all the same, of an odd number of parts and
// of an even one: all are kept, or a cut keeps some of them, lowest ids first, of part after part.
func sampleProbes(_ dtype.Type, quick bool) []probe {
	var out []probe
	for i, vocab := range firstFew(quick, 1, []int{4097, 33, 131071, 131072, 131073, 152064, 1}) {
		for j := range firstFew(quick || vocab > 1<<16, 2, settings) {
			out = append(out, sampledRows(vocab, settings[(2*i+j)%len(settings)]).withGain("x", 8))
		}
	}
	for _, vocab := range firstFew(quick, 1, []int{4097, 131073}) {
		for _, s := range settings {
			f := sampledRows(vocab, s)
			f.values["x"], f.values["u"] = slopedRows(vocab), []float32{0.9997, 0.0002, 0.5}
			out = append(out, f)
		}
	}
	for _, vocab := range firstFew(quick, 1, []int{8193, 12288}) {
		for _, s := range [][]float32{{1, 6000, 1, 0, 1}, {1, 0, 1, 0, 1}} {
			f := sampledRows(vocab, s)
			f.values["x"], f.values["u"] = make([]float32, 3*vocab), []float32{0.99, 0.3, 0.7}
			out = append(out, f)
		}
	}
	for _, vocab := range firstFew(quick, 1, []int{4097, 33, 131073}) {
		for _, s := range [][]float32{{0, 0, 1, 0, 1}, {1, 2, 1, 0, 1}, {1, 0, 0.5, 0, 1}} {
			f := sampledRows(vocab, s)
			f.values["x"] = tiedRows(vocab)
			out = append(out, f)
		}
		f := sampledRows(vocab, []float32{1, 3, 0.6, 0, 1}) // of three that tie, two by weight
		f.values["x"], f.values["u"] = tiedRows(vocab), []float32{0.9, 0.4, 0.6}
		out = append(out, f)
		f = sampledRows(vocab, []float32{1, 0, 0.61, 0, 1})
		f.values["x"], f.values["u"] = closeRows(vocab), []float32{0.5, 0.2, 0.8}
		out = append(out, f)
		f = sampledRows(vocab, []float32{0, 0, 1, 0, 1.3})
		f.values["x"], f.values["seen"] = belowZero(vocab)
		out = append(out, f)
	}
	return out
}

// sampledRows is three rows of logits under settings.
func sampledRows(vocab int, settings []float32) probe {
	f := decodeProbe(window-1, "", fillBody(sampleBody, "R", 3, "K", vocab))
	f.values, f.nudge = map[string][]float32{"s": settings}, "u"
	return f
}

// slopedRows is three rows of n logits that fall, rise and fall with the id: what a filter
// takes away lies at an end, where random numbers near 1 and 0 miss it.
func slopedRows(n int) []float32 {
	x := make([]float32, 3*n)
	for i := range n {
		down := 8 - 16*float32(i)/float32(n)
		x[i], x[n+n-1-i], x[2*n+i] = down, down, down
	}
	return x
}

// tiedRows is three rows of n elements whose largest stands at four places: two side by
// side, and two that are far apart.
func tiedRows(n int) []float32 {
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

// closeRows is three rows of n elements of four values that differ in their last bits: a
// cut among them lies behind others of the same upper bits.
func closeRows(n int) []float32 {
	x := make([]float32, 3*n)
	for i := range x {
		x[i] = 1.5 - float32(i%4)*0x1p-21
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

func argmaxProbes(_ dtype.Type, quick bool) []probe {
	var out []probe
	for _, n := range firstFew(quick, 2, []int{33, 4097, 1, 31, 32, 896, 4864, 8960, 131071, 131072, 131073, 152064}) {
		f := decodeProbe(window-1, "", fillBody(argmaxBody, "R", 3, "K", n))
		out = append(out, f)
		if n == 33 || n == 4097 || n == 131073 {
			f.values = map[string][]float32{"x": tiedRows(n)}
			out = append(out, f)
		}
	}
	return out
}

func arangeProbes(dtype.Type, bool) []probe {
	return []probe{prefillProbe(33, long, "", fillBody(createdBody)), decodeProbe(long-1, "", fillBody(createdBody))}
}

func onesProbes(dtype.Type, bool) []probe {
	return []probe{prefillProbe(33, long, "", fillBody(onesBody))}
}

func randomProbes(dtype.Type, bool) []probe {
	return []probe{prefillProbe(33, window, "", fillBody(randomBody))}
}

func residualNormProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	for _, k := range firstFew(quick, 2, rowLengths(t)) {
		out = append(out, prefillProbe(33, window, "fuse-residual-norm", fillBody(residualNormBody, "K", k)))
	}
	return out
}

func castProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	for _, k := range firstFew(quick, 2, rowLengths(t)) {
		out = append(out, prefillProbe(33, window, "", fillBody(castBody, "W", t, "K", k)))
	}
	return out
}

func copyProbes(dtype.Type, bool) []probe {
	return []probe{prefillProbe(33, window, "", fillBody(copiesBody))}
}
