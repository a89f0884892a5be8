package verify

import (
	"foundry/ir/dtype"
	"foundry/ir/kernel"
)

// headDims are those of the checklist, 64 first.
var headDims = []int{64, 80, 96, 128}

// lastKeys is a mask, in the place of its start, that lets rows see the last of their
// keys only.
const lastKeys = "P, window=37"

// softmaxRows are lengths that rows of t allow. Of f32 they are below 256, 256 to
// 2,047, 2,048 to 4,095 and above 4,096, and the first four are a quick run's.
func softmaxRows(t dtype.Type, quick bool) []int {
	per, _ := t.Block()
	all := []int{33, 896, 2049, 4864, 1, 31, 32, 255, 256, 2047, 2048, 4095, 4096, 8960}
	if per > 1 {
		all = []int{3 * per, 4864, 2048, per}
	}
	if t != dtype.F32 {
		return firstFew(quick, 1, all[:4])
	}
	return firstFew(quick, 4, all)
}

// softmaxOf is rows of t alone, and causal rows over a cache, with the segment in
// both as text.
func softmaxOf(t dtype.Type, quick bool, segment string) []probe {
	var out []probe
	source := "weight"
	if t == dtype.F32 {
		source = "input"
		causal := fillBody(softmaxBody, "A", "true", "P", "P", "G", segment)
		out = append(out, prefillProbe(33, window, "", causal), decodeProbe(window-1, "", causal))
		sliding := fillBody(softmaxBody, "A", "true", "P", lastKeys, "G", segment)
		out = append(out, prefillProbe(33, window, "", sliding), decodeProbe(window-1, "", sliding))
		if !quick {
			out = append(out, prefillProbe(33, window, "", fillBody(softmaxBody, "A", "false", "P", 0, "G", segment)))
		}
	}
	for _, k := range softmaxRows(t, quick) {
		out = append(out, decodeProbe(window-1, "", fillBody(softmaxRowBody, "I", source, "W", t, "R", 3, "K", k, "G", segment)))
	}
	for i := range out {
		out[i] = out[i].withGain("x", 8)
	}
	return out
}

func softmaxVectorProbes(t dtype.Type, quick bool) []probe { return softmaxOf(t, quick, "") }

// softmaxBlockProbes forces segments on rows of every length; the twin is the vector
// probe.
func softmaxBlockProbes(t dtype.Type, quick bool) []probe {
	forced := func(segment string, quick bool) []probe {
		out, plain := softmaxOf(t, quick, segment), softmaxOf(t, quick, "")
		for i := range out {
			out[i].twin = plain[i].body
		}
		return out
	}
	if quick || t != dtype.F32 {
		return forced(`, kernel="softmax-segments segment=256"`, quick)
	}
	return append(forced(`, kernel="softmax-segments segment=256"`, false), forced(`, kernel="softmax-segments segment=1024"`, true)...)
}

func scoresProbes(t dtype.Type, quick bool) []probe {
	return cacheProbes(t, quick, "", fillBody(scoresBody))
}

func weightedProbes(t dtype.Type, quick bool) []probe {
	return cacheProbes(t, quick, "", fillBody(weightedBody))
}

// cacheProbes returns the probes of a body over a cache: decode and prefill of every
// head_dim, in tiles too. A quick run takes decode, and of f16 prefill as well.
func cacheProbes(t dtype.Type, quick bool, passes, body string) []probe {
	at := func(d, l int) string { return fillBody(body, "C", t, "D", d, "H", d/2, "L", l, "Q", 4) }
	out := []probe{decodeProbe(window-1, passes, at(64, window))}
	if t == dtype.F16 {
		out = append(out, prefillProbe(65, window, passes, at(80, window)).inTiles())
	}
	if !quick {
		out = nil
		for _, d := range headDims {
			out = append(out, decodeProbe(window-1, passes, at(d, window)), prefillProbe(33, window, passes, at(d, window)))
			if t == dtype.F16 {
				out = append(out, prefillProbe(65, window, passes, at(d, window)).inTiles())
			}
		}
		if t == dtype.F16 {
			out = append(out, decodeProbe(long-1, passes, at(64, long)))
		}
	}
	for i := range out {
		out[i] = out[i].withGain("q", 8)
	}
	return out
}

const onePass = "fuse-attention{kernel=" + kernel.OnePass + "}"

func flashProbes(t dtype.Type, quick bool) []probe {
	out := cacheProbes(t, quick, onePass, fillBody(attentionBody, "A", "true", "P", "P"))
	sliding := fillBody(attentionBody, "A", "true", "P", lastKeys, "C", t, "D", 64, "L", window, "Q", 4)
	out = append(out, decodeProbe(window-1, onePass, sliding).withGain("q", 8), prefillProbe(33, window, onePass, sliding).withGain("q", 8))
	if t == dtype.F16 { // heads of two parts of the matrix units
		wide := fillBody(attentionBody, "A", "true", "P", lastKeys, "C", t, "D", 128, "L", window, "Q", 4)
		out = append(out, prefillProbe(65, window, onePass, wide).withGain("q", 8).inTiles())
	}
	full := prefillProbe(33, window, onePass, fillBody(attentionBody, "A", "false", "P", 0, "C", t, "D", 80, "L", window, "Q", 4)).withGain("q", 8)
	if quick {
		return out
	}
	out = append(out, full)
	if t == dtype.F16 {
		out = append(out, full.inTiles())
	}
	return out
}

func splitProbes(t dtype.Type, quick bool) []probe {
	const pass = "fuse-attention{kernel=" + kernel.AttentionInParts + "}"
	sliding := fillBody(attentionBody, "A", "true", "P", lastKeys, "C", t, "D", 64, "L", window, "Q", 4)
	out := []probe{decodeProbe(window-1, pass, sliding).withGain("q", 8)}
	for _, d := range firstFew(quick, 1, headDims) {
		at := fillBody(attentionBody, "A", "true", "P", "P", "C", t, "D", d, "L", window, "Q", 4)
		out = append(out, decodeProbe(window-1, pass, at).withGain("q", 8))
		if !quick && d == headDims[0] {
			out = append(out, prefillProbe(9, window, pass, at).withGain("q", 8))
		}
	}
	if !quick && t == dtype.F16 {
		out = append(out, decodeProbe(long-1, pass, fillBody(attentionBody, "A", "true", "P", "P", "C", t, "D", 64, "L", long, "Q", 4)).withGain("q", 8))
	}
	return out
}

func splitOutProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	for _, d := range firstFew(quick || t != dtype.F16, 1, headDims) {
		n := 96
		if per, _ := t.Block(); per > 32 {
			n = per
		}
		body := fillBody(attentionOutBody, "W", t, "C", "f16", "D", d, "H", d/2, "L", window, "K", 4*d, "N", n)
		if per, _ := t.Block(); 4*d%per != 0 {
			continue
		}
		out = append(out, decodeProbe(window-1, "fuse-attention-split-o", body).withGain("q", 8))
		if !quick {
			out = append(out, decodeProbe(window-1, "split-norm,fuse-attention-split-o", body).withGain("q", 8))
		}
	}
	return out
}

func ropeAttentionProbes(t dtype.Type, quick bool) []probe {
	var out []probe
	for _, d := range firstFew(quick, 1, headDims) {
		body := fillBody(attentionOutBody, "W", "f32", "C", t, "D", d, "H", d/2, "L", window, "K", 4*d, "N", 16)
		out = append(out, decodeProbe(window-1, "fuse-rope-attention", body).withGain("q", 8))
		if !quick && d == headDims[0] {
			out = append(out, prefillProbe(33, window, "fuse-rope-attention", body).withGain("q", 8))
			if t == dtype.F16 {
				out = append(out, prefillProbe(33, window, "fuse-rope-attention", body).withGain("q", 8).inTiles())
			}
		}
	}
	return out
}

func headProbes(pass, text string) func(t dtype.Type, quick bool) []probe {
	return func(t dtype.Type, quick bool) []probe {
		var out []probe
		for _, d := range firstFew(quick, 1, headDims) {
			body := fillBody(text, "Q", 3*d, "D", d, "H", d/2, "C", t, "L", window)
			out = append(out, prefillProbe(33, window, pass, body))
			if !quick {
				out = append(out, decodeProbe(window-1, pass, body))
			}
		}
		return out
	}
}
