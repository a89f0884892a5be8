package metal

import (
	"slices"
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
	k.line("%s::Raw raw[%du * ROWS];", f.reader(g.width(t)), rounds)
	k.line("gemv_preload<%s, ROWS, %du, %du, %du>(row, %s, raw);", f.reader(g.width(t)), lanes, chunks, rounds, g.lane())
	return rounds
}

// placeEarly writes what epilogues of the parts load early: before the ready point
// and behind it, under the conditions of the epilogue itself.
func (g *gemv) placeEarly(k *kernel, taken [2][][]string, begins []int64) {
	if g.early == nil || len(g.early.registers) == 0 {
		return
	}
	write := func(blocks [][]string) {
		if !slices.ContainsFunc(blocks, func(lines []string) bool { return len(lines) > 0 }) {
			return
		}
		for i, p := range g.Parts {
			g.choose(k, i, begins, func() {
				if len(blocks[i]) == 0 {
					return
				}
				k.open("if (%s)", g.guard(p))
				for _, l := range blocks[i] {
					k.line("%s", l)
				}
				k.close()
			})
		}
	}
	k.preload += k.aside(1, func() {
		k.phase("Preload: what the epilogue needs and no dispatch of the step writes.")
		k.line("%s", g.early.declare())
		write(taken[1])
	})
	k.afterReady += k.aside(1, func() { write(taken[0]) })
}
