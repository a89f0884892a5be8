package passes

import (
	"cmp"
	"fmt"
	"foundry/ir/kernel"
	"foundry/ir/names"
	"slices"
	"strings"
)

// before and after every variant's fusions.
const (
	prepare = "canonicalize,cse,dce"
	finish  = "legalize"
)

// The variants beside "default" and those that are named after a fusion.
const (
	unfused   = "unfused"     // the model as it is written
	perLayer6 = "per-layer-6" // six dispatches a layer
	fewest    = "fewest"      // the fewest dispatches that fusions reach
)

// aliases are further names that stand in bundles, lists of variants and results of
// searches, with the names that they mean.
var aliases = map[string]string{"none": unfused, "six": perLayer6, "floor": fewest}

// VariantName returns the name of the variant that an alias means, and any other name
// as it is.
func VariantName(name string) string { return cmp.Or(aliases[name], name) }

// onePassAttention is attention as one dispatch, whatever the cost model thinks of parts.
const onePassAttention = "fuse-attention{kernel=" + kernel.OnePass + "}"

// rung is one row of the ladder: what it adds to the rows before it.
type rung struct {
	name  string
	calls string   // calls appended to the fusions
	drops []string // calls of earlier rungs that this one replaces
	early bool     // an edit that stands before the fusions
	doc   string
}

// ladder adds one fusion a row, from unfused to fewest.
var ladder = [...]rung{
	{name: "drop-repeat-kv", calls: "drop-repeat-kv", early: true, doc: "GQA by indexing (12)"},
	{name: "attention", calls: onePassAttention, doc: "scores, softmax, PV in one pass (10)"},
	{name: "rope", calls: "fuse-rope-qk", doc: "RoPE of q and k in one dispatch (6)"},
	{name: "rope-kv", calls: "fuse-rope-kv", drops: []string{"fuse-rope-qk"}, doc: "with head layout and cache writes (7)"},
	{name: "residual", calls: "fuse-residual{sums=false}", doc: "o and down with their residual (9)"},
	{name: "qkv", calls: "fuse-qkv{bias=false}", doc: "Q, K, V in one product (3)"},
	{name: "qkv-bias", calls: "fuse-qkv", drops: []string{"fuse-qkv{bias=false}"}, doc: "with their biases (4)"},
	{name: "rmsnorm-qkv", calls: "fuse-rmsnorm-qkv", drops: []string{"fuse-qkv"}, doc: "with the norm as prologue (5)"},
	{name: "gate-up", calls: "fuse-gate-up", doc: "gate and up in one product (13)"},
	{name: "swiglu", calls: "fuse-gate-up-swiglu{norm=false}", drops: []string{"fuse-gate-up"}, doc: "with SwiGLU as epilogue (14)"},
	{name: "gate-up-swiglu", calls: "fuse-gate-up-swiglu", drops: []string{"fuse-gate-up-swiglu{norm=false}"}, doc: "with the norm as prologue (15)"},
	{name: "head", calls: "fuse-head", doc: "final norm, lm_head, argmax partials (18)"},
	{name: "qkv-rope-kv", calls: "fuse-qkv-rope-kv", drops: []string{"fuse-rmsnorm-qkv", "fuse-rope-kv"}, doc: "projections, biases, RoPE, cache writes in one kernel (8)"},
	{name: "sums", calls: "split-norm", early: true, doc: "sums of squares left by the product before a norm (19, 20)"},
}

// sumsFusions replace their counterparts once norms are split.
const sumsFusions = "fuse-residual,fuse-embedding-norm"

// Ladder returns the names of the ladder's variants, unfused first; each adds one
// fusion to the one before. The last one is fewest.
func Ladder() []string {
	names := []string{unfused}
	for _, r := range ladder {
		names = append(names, r.name)
	}
	names[len(names)-1] = fewest
	return names
}

// Rung names the fusion that the variant Ladder()[n] adds, n from 1.
func Rung(n int) string { return ladder[n-1].name }

// ladderUpTo returns the pipeline of the first n rungs.
func ladderUpTo(n int) string {
	var early, fusions []string
	for _, r := range ladder[:n] {
		for _, d := range r.drops {
			fusions = slices.DeleteFunc(fusions, func(s string) bool { return s == d })
		}
		if r.early {
			early = append(early, r.calls)
		} else {
			fusions = append(fusions, r.calls)
		}
	}
	if slices.Contains(early, "split-norm") {
		i := slices.Index(fusions, "fuse-residual{sums=false}")
		fusions = slices.Replace(fusions, i, i+1, strings.Split(sumsFusions, ",")...)
	}
	return strings.Join(slices.Concat([]string{prepare}, early, fusions, []string{finish}), ",")
}

// chosen is the default pipeline: every fusion, each where the cost model
// predicts a gain, rivals weighed against each other. It is greedy: norms are split
// before it is known who finishes them, and what is taken stays taken, but for norms
// that are whole again; so it can end beside the best set (a decode step of 7b on an H100
// is modelled at 5,535 us, the best set at 5,331). Search looks at every set.
var chosen = strings.Join([]string{
	prepare, "drop-repeat-kv", "split-norm",
	// What takes more stands before what it contains: a region can grow, but what
	// is left of it then has nobody to take it.
	cheaper("attention-split-o"), cheaper("rope-attention"), cheaper("attention"),
	cheaper("qkv-rope-kv"), cheaper("rmsnorm-qkv"), cheaper("qkv"), cheaper("rope-kv"), cheaper("rope-qk"),
	cheaper("gate-up-swiglu"), cheaper("swiglu-down"), cheaper("swiglu"), "fuse-gate-up{norm=true,when=cheaper}",
	"join-norm", cheaper("bias"), cheaper("residual"), cheaper("residual-norm"), cheaper("head"), cheaper("embedding-norm"),
	cheaper("elementwise"), finish,
}, ",")

func cheaper(pattern string) string { return "fuse-" + pattern + "{when=cheaper}" }

// sixALayer is the pipeline of six dispatches a layer that the field's best engine has.
const sixALayer = prepare + ",drop-repeat-kv,fuse-rmsnorm-qkv,fuse-rope-kv," + onePassAttention + ",fuse-residual{sums=false},fuse-gate-up-swiglu," + finish

// Variants returns the names that Variant takes.
func Variants() []string {
	names := []string{unfused, "default", fewest, perLayer6}
	for _, r := range ladder[:len(ladder)-1] {
		names = append(names, r.name)
	}
	return append(names, LeaveOneOut()...)
}

// LeaveOneOut returns the names of the variants that are fewest without one of
// its fusions. What that one took the place of stands in them again, so that
// nothing else is left out with it.
func LeaveOneOut() []string {
	var names []string
	for _, c := range fusionsOf(ladderUpTo(len(ladder))) {
		names = append(names, leavingOut(c))
	}
	return names
}

// leavingOut names the variant that leaves out a call of fewest.
func leavingOut(call string) string {
	if call == onePassAttention {
		call = "fuse-attention"
	}
	return "no-" + strings.TrimPrefix(call, "fuse-")
}

// replacedBy returns the calls whose place a call of fewest took in the ladder.
func replacedBy(call string) []string {
	for _, r := range ladder {
		if r.calls == call {
			return r.drops
		}
	}
	return nil
}

// fusionsOf lists the calls of a pipeline that are left out one at a time.
func fusionsOf(text string) []string {
	return slices.DeleteFunc(splitCalls(text), func(c string) bool {
		return strings.Contains(prepare, c) || c == finish
	})
}

// Variant returns the pipeline of a named variant: "unfused", "default", "fewest",
// "per-layer-6", a rung of the ladder, or "no-" and a fusion of fewest. It takes
// aliases, too.
func Variant(name string) (Pipeline, error) {
	switch name = VariantName(name); name {
	case unfused:
		return Parse(ladderUpTo(0))
	case "default":
		return Parse(chosen)
	case fewest:
		return Parse(ladderUpTo(len(ladder)))
	case perLayer6:
		return Parse(sixALayer)
	}
	for i, r := range ladder[:len(ladder)-1] {
		if r.name == name {
			return Parse(ladderUpTo(i + 1))
		}
	}
	for _, c := range fusionsOf(ladderUpTo(len(ladder))) {
		if leavingOut(c) == name {
			calls := splitCalls(ladderUpTo(len(ladder)))
			at := slices.Index(calls, c)
			return Parse(strings.Join(slices.Replace(calls, at, at+1, replacedBy(c)...), ","))
		}
	}
	return nil, fmt.Errorf("unknown variant %q%s", name, names.DidYouMean(name, Variants()))
}
