package metal

import (
	"slices"

	"foundry/lower/msl"
)

// preload loads the first rounds of weights and returns how many.
func (g *gemv) preload(k *kernel) int {
	rounds := g.rounds().Preloaded()
	if rounds == 0 {
		return 0
	}
	t, _ := g.SameFormat()
	f := g.format(t)
	chunks := g.Segment / int64(g.width(t))
	lanes := g.lanes()
	k.use(f.files()...)
	k.phase("Preload: weights, which no dispatch of the step writes.")
	reader := f.reader(g.width(t))
	g.loaded = k.array(reader.Scoped("Raw"), "raw", u(rounds).Mul(g.count))
	k.do(msl.Of("gemv_preload", reader, g.count, u(lanes), u(chunks), u(rounds)).Call(g.row, g.own, g.loaded))
	return rounds
}

// placeEarly moves what epilogues of the parts load early to the ready point, before it
// and behind it, under the conditions of the epilogue itself.
func (g *gemv) placeEarly(k *kernel, taken [2][][]msl.Statement) {
	if g.early == nil || len(g.early.registers) == 0 {
		return
	}
	place := func(parts [][]msl.Statement) {
		if !slices.ContainsFunc(parts, func(list []msl.Statement) bool { return len(list) > 0 }) {
			return
		}
		k.choose(g.where, func(i int) {
			if len(parts[i]) > 0 {
				k.when(g.guard(g.Parts[i]), func() { k.add(parts[i]...) })
			}
		})
	}
	k.within(&k.readyPoint.Before, func() {
		k.phase("Preload: what the epilogue needs and no dispatch of the step writes.")
		g.early.declare()
		place(taken[1])
	})
	k.within(&k.readyPoint.Behind, func() { place(taken[0]) })
}
