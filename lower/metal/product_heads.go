package metal

import (
	"fmt"

	"foundry/ir/task"
)

// Norms of heads behind a matrix product: the squares of a head meet in threadgroup
// memory, and behind a barrier each lane that has a pair of the head adds them up.

// bindHeadNorm names what the norm makes of a pair.
func bindHeadNorm(e *emitter, p *task.Part, ix []affine, scale string) {
	n := p.HeadNorm
	for _, at := range [][]affine{ix, p.High(ix)} {
		x, gamma := e.at(n.Args[0], at), e.at(n.Args[1], at[2:])
		e.bind(n.Results[0], at, e.define("normed", "%s * %s * %s", x, scale, gamma))
	}
}

// localUnit is the lane's unit among those of the threadgroup.
func (g *gemv) localUnit(u string, units int) string {
	return fmt.Sprintf("(%s * %du + %s)", g.owner(), units, u)
}

// squareHeads leaves the squares of each unit's two rows in threadgroup memory.
func (g *gemv) squareHeads(k *kernel, p *task.Part, partial, guard, u, vector string, units int) {
	if g.squares == "" {
		g.squares = k.threadgroup("head_squares", "float", 4*g.Owners()*units*g.Vectors)
	}
	k.use("main/gemv_heads.metal")
	k.phase("Epilogue: the squares of each head.")
	k.open("if (%s)", guard)
	e := newEmitter(k, g.r, 1)
	_, ix, _ := g.bindUnit(e, p, partial, u, vector, units)
	a, b := e.at(p.HeadNorm.Args[0], ix), e.at(p.HeadNorm.Args[0], p.High(ix))
	k.line("%s[(%s) * %du + %s] = %s * %s + %s * %s;", g.squares, vector, g.Owners()*units, g.localUnit(u, units), a, a, b, b)
	k.close()
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
}
