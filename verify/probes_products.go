package verify

import (
	"slices"

	"foundry/ir/dtype"
	"foundry/ir/kernel"
)

// rows of a weight, odd so that the last simdgroup and the last tile are part full.
const oddRows = 37

// productLengths returns the row lengths of a product of weights of t: all of f16, a few
// elsewhere, where only what reads the weights differs. A quick run takes one.
func productLengths(t dtype.Type, quick bool, few int) []int64 {
	switch {
	case quick:
		few = 1
	case t == dtype.F16:
		few = len(rowLengths(t))
	}
	return rowLengths(t)[:few]
}

// wide are lengths of the checklist that blocks of every format divide.
var wide = []int64{4864, 8960}

// productProbes returns the probes that decode and prefill have of a body: one row, in the wide
// lengths too, many, and many in tiles where the type can be in tiles. A quick run
// takes one row, and many of f16.
func productProbes(t dtype.Type, quick bool, passes string, body func(k int64) string) []probe {
	var out []probe
	for _, k := range productLengths(t, quick, 1) {
		out = append(out, decodeProbe(window-1, passes, body(k)))
	}
	if quick && t != dtype.F16 {
		return out
	}
	if !quick && t != dtype.F16 {
		for _, k := range wide {
			out = append(out, decodeProbe(window-1, passes, body(k)))
		}
	}
	out = append(out, prefillProbe(33, window, passes, body(rowLengths(t)[0])))
	if t == dtype.F32 || quick {
		return out
	}
	return append(out, prefillProbe(65, window, passes, body(rowLengths(t)[1])).inTiles())
}

// fours is a length that four divides and eight does not: rows of floats are read by fours.
const fours = 36

func gemvProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	if per, _ := t.Block(); per == 1 {
		out = append(out, decodeProbe(window-1, "", fillBody(matmulBody, "W", t, "K", fours, "N", oddRows)))
	}
	for _, k := range productLengths(t, quick, len(rowLengths(t))) {
		out = append(out, decodeProbe(window-1, "", fillBody(matmulBody, "W", t, "K", k, "N", oddRows)))
	}
	for _, k := range productLengths(t, quick, 2) {
		out = append(out, prefillProbe(33, window, "", fillBody(matmulBody, "W", t, "K", k, "N", oddRows)))
	}
	return out
}

func gemmProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	if per, _ := t.Block(); per == 1 {
		out = append(out, prefillProbe(65, window, "", fillBody(matmulBody, "W", t, "K", fours, "N", 2*oddRows)).inTiles())
	}
	for _, k := range productLengths(t, quick, 2) {
		out = append(out, prefillProbe(65, window, "", fillBody(matmulBody, "W", t, "K", k, "N", 2*oddRows)).inTiles())
	}
	if !quick {
		out = append(out, prefillProbe(129, window, "", fillBody(matmulBody, "W", t, "K", rowLengths(t)[1], "N", 260)).inTiles())
	}
	if t == dtype.F16 { // and behind another dispatch, which leaves halves
		for _, k := range firstFew(quick, 1, []int64{896, 96, 48, 40}) {
			out = append(out, prefillProbe(65, window, "", fillBody(madeBody, "W", t, "K", k, "N", 2*oddRows)).inTiles())
		}
	}
	return out
}

func qkvProbes(pass string) func(t dtype.Type, quick bool) []probe {
	return func(t dtype.Type, quick bool) []probe {
		body := func(k int64) string {
			return fillBody(qkvBody, "K", k, "Q", 3*oddRows, "D", oddRows, "WQ", t, "WK", t, "WV", t)
		}
		return append(productProbes(t, quick, pass, body), partProbes(t, quick, pass+"{bias=false}", body)...)
	}
}

// partProbes is a few probes of a fusion that leaves something out.
func partProbes(t dtype.Type, quick bool, passes string, body func(k int64) string) []probe {
	if quick {
		return nil
	}
	out := []probe{decodeProbe(window-1, passes, body(rowLengths(t)[0]))}
	if t == dtype.F16 {
		out = append(out, prefillProbe(65, window, passes, body(rowLengths(t)[0])).inTiles())
	}
	return out
}

func qkvMixed(pass string) func(quick bool) []probe {
	return func(quick bool) []probe {
		if quick {
			return nil
		}
		body := fillBody(qkvBody, "K", 256, "Q", 96, "D", 32, "WQ", dtype.Q8_0, "WK", dtype.Q4_K, "WV", dtype.F16)
		return []probe{decodeProbe(window-1, pass, body), prefillProbe(33, window, pass, body), prefillProbe(65, window, pass, body).inTiles()}
	}
}

// qkvHeadProbes: alone, and behind a residual that leaves sums of squares; heads of 64,
// and a few of 80 and 128.
func qkvHeadProbes(text string) func(t dtype.Type, quick bool) []probe {
	return func(t dtype.Type, quick bool) []probe { return qkvHeadsOf(text, t, quick) }
}

func qkvHeadsOf(text string, t dtype.Type, quick bool) []probe {
	body := func(d int) func(k int64) string {
		return func(k int64) string {
			return fillBody(text, "K", k, "Q", 3*d, "D", d, "H", d/2, "C", "f16", "L", window, "WQ", t, "WK", t, "WV", t)
		}
	}
	out := qkvHeadsOver(t, quick, body(64))
	if quick {
		if text == qkvNormedBody && t == dtype.F16 { // whose squares meet in no other tiles
			out = append(out, prefillProbe(65, window, "fuse-qkv-rope-kv", body(64)(rowLengths(t)[1])).inTiles())
		}
		return out
	}
	out = append(out, partProbes(t, quick, "fuse-qkv-rope-kv{norm=false}", body(64))...)
	for _, d := range []int{80, 128} {
		out = append(out, decodeProbe(window-1, "fuse-qkv-rope-kv", body(d)(rowLengths(t)[1])))
		if t == dtype.F16 {
			out = append(out, prefillProbe(33, window, "fuse-qkv-rope-kv", body(d)(rowLengths(t)[0])))
			if p := prefillProbe(65, window, "fuse-qkv-rope-kv", body(d)(rowLengths(t)[1])); text == qkvHeadsBody || d%kernel.HeadStep == 0 {
				out = append(out, p.inTiles())
			} else {
				out = append(out, p) // tiles have no place for normed heads of 80
			}
		}
	}
	return out
}

func qkvHeadsOver(t dtype.Type, quick bool, body func(k int64) string) []probe {
	const alone, sums = "fuse-qkv-rope-kv", "split-norm,fuse-residual,fuse-qkv-rope-kv"
	var out []probe
	for i, k := range productLengths(t, quick, 1) {
		out = append(out, decodeProbe(window-1, sums, body(k)))
		if i == 0 && !quick {
			out = append(out, decodeProbe(window-1, alone, body(k)), prefillProbe(33, window, sums, body(k)))
		}
		if i == 0 && (t == dtype.F16 || !quick) {
			out = append(out, prefillProbe(33, window, alone, body(k)))
		}
	}
	if !quick && t != dtype.F32 {
		out = append(out, prefillProbe(65, window, alone, body(rowLengths(t)[1])).inTiles())
	}
	if !quick && t == dtype.F16 {
		out = append(out, prefillProbe(65, window, sums, body(rowLengths(t)[1])).inTiles())
	}
	return out
}

func qkvHeadMixed(text string) func(quick bool) []probe {
	return func(quick bool) []probe { return qkvHeadsMixed(text, quick) }
}

func qkvHeadsMixed(text string, quick bool) []probe {
	body := func(int64) string {
		return fillBody(text, "K", 256, "Q", 192, "D", 64, "H", 32, "C", "f32", "L", window, "WQ", dtype.Q5_1, "WK", dtype.Q6_K, "WV", dtype.BF16)
	}
	return qkvHeadsOver(dtype.Q6_K, quick, body)
}

func residualProbes(t dtype.Type, quick bool) []probe {
	return append(productProbes(t, quick, "fuse-residual{sums=false}", func(k int64) string {
		return fillBody(residualBody, "W", t, "K", k, "N", oddRows)
	}), mlpProbes(t, quick, "split-norm,fuse-residual")...)
}

func biasProbes(t dtype.Type, quick bool) []probe {
	return productProbes(t, quick, "fuse-bias", func(k int64) string { return fillBody(biasBody, "W", t, "K", k, "N", oddRows) })
}

// mlpProbes runs the second half of a layer, in which products leave sums of squares.
func mlpProbes(t dtype.Type, quick bool, passes string) []probe {
	if quick || t != dtype.F16 && t != dtype.F32 && t != dtype.Q8_0 {
		return nil // what the epilogue leaves does not depend on the weights
	}
	const n = 64
	body := fillBody(mlpBody, "W", t, "K", n, "N", n, "M", 2*n)
	out := []probe{decodeProbe(window-1, passes, body), prefillProbe(33, window, passes, body)}
	if t != dtype.F32 {
		out = append(out, prefillProbe(65, window, passes, body).inTiles())
	}
	return out
}

func gateUpProbes(t dtype.Type, quick bool) []probe {
	body := func(k int64) string { return fillBody(gateUpBody, "W", t, "K", k, "N", oddRows) }
	biased := func(k int64) string { return fillBody(gateUpBiasBody, "W", t, "K", k, "N", oddRows) }
	return slices.Concat(productProbes(t, quick, "fuse-gate-up{norm=true}", body), productProbes(t, true, "fuse-gate-up", biased), partProbes(t, quick, "fuse-gate-up", body))
}

func gateUpSwigluProbes(t dtype.Type, quick bool) []probe {
	body := func(k int64) string { return fillBody(swigluBody, "W", t, "K", k, "N", oddRows) }
	out := slices.Concat(productProbes(t, quick, "fuse-gate-up-swiglu", body), partProbes(t, quick, "fuse-gate-up-swiglu{norm=false}", body),
		mlpProbes(t, quick, "split-norm,fuse-residual,fuse-gate-up-swiglu"))
	biased := decodeProbe(window-1, "fuse-gate-up-swiglu", fillBody(gateUpBiasBody, "W", t, "K", rowLengths(t)[0], "N", oddRows))
	zero := biased
	zero.values = map[string][]float32{"bg": make([]float32, oddRows), "bu": make([]float32, oddRows)}
	return append(out, biased, zero)
}

func downProbes(t dtype.Type, quick bool) []probe {
	out := productProbes(t, quick, "fuse-swiglu-down", func(k int64) string {
		return fillBody(downBody, "W", t, "K", k, "N", oddRows)
	})
	for i := range out {
		out[i] = out[i].withGain("g", 8) // or the residual would hide the product
	}
	return append(out, mlpProbes(t, quick, "split-norm,fuse-swiglu-down,fuse-residual")...)
}

func headProductProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	for i, k := range productLengths(t, quick, 2) {
		body := fillBody(headBody, "W", t, "K", k, "N", 301)
		out = append(out, decodeProbe(window-1, "fuse-head", body))
		if i == 0 && !quick {
			out = append(out, prefillProbe(33, window, "fuse-head", body))
		}
		if i == 0 && t == dtype.F16 { // logits that are all the same
			same := decodeProbe(window-1, "fuse-head", body)
			same.values = map[string][]float32{"w": slices.Repeat([]float32{0.5}, int(301*k))}
			out = append(out, same)
		}
	}
	// Without argmax, where that is cheaper as a kernel of its own.
	apart := fillBody(headBody, "W", t, "K", rowLengths(t)[1], "N", 301)
	rows := fillBody(headRowsBody, "W", t, "K", rowLengths(t)[1], "N", 301)
	out = append(out, decodeProbe(window-1, "fuse-head{argmax=false}", apart), prefillProbe(33, window, "fuse-head", rows).inTiles())
	if quick {
		return out
	}
	body := fillBody(headBehindBody, "W", t, "K", 256, "N", 301)
	return append(out, decodeProbe(window-1, "fuse-head{norm=false}", body), decodeProbe(window-1, "split-norm,fuse-residual,fuse-head", body),
		decodeProbe(window-1, "split-norm,fuse-residual,fuse-head{argmax=false}", body))
}

func embeddingNormProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	for i, k := range firstFew(quick, 1, rowLengths(t)[:2]) {
		body := fillBody(embeddingNormBody, "W", t, "K", k, "N", oddRows)
		out = append(out, prefillProbe(33, window, "fuse-embedding-norm", body))
		if i == 0 || !quick {
			out = append(out, decodeProbe(window-1, "split-norm,fuse-embedding-norm", body))
		}
		if i == 0 {
			out = append(out, outsideIDs("fuse-embedding-norm", body)...)
		}
	}
	// Runs of eight squares, which two lanes share.
	runs := fillBody(embeddingNormBody, "W", t, "K", 3584, "N", oddRows)
	return append(out, prefillProbe(33, window, "split-norm,fuse-embedding-norm{kernel=runs}", runs))
}
