package metal

import (
	"fmt"

	choice "foundry/ir/kernel"
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

// stepsBefore is how many runs of columns of a block lie before those of the simdgroup.
func (g *gemm) stepsBefore() string {
	return fmt.Sprintf("simd %% %du * %du", g.SIMDColumns, g.HeadSteps()/g.SIMDColumns)
}

// squareHeads leaves the squares of each row's runs of columns in threadgroup memory.
// spread opens the loops over tiles m and n, and spreads them.
func (g *gemm) squareHeads(k *kernel, spread func()) {
	k.use("main/gemm_heads.metal")
	k.phase("Epilogue: the squares of each head.")
	spread()
	factor := "restore0"
	if g.looks() {
		factor += " * simd_shuffle(undo[m], ushort(lane / 2u))"
	}
	k.line("gemm_head_squares(spread, %du, %s, lane, %s + (simd / %du * %du + m * 16u) * %du + %s + n / %du, %du);",
		g.scratchStride(), factor, g.squares, g.SIMDColumns, g.Rows/g.SIMDRows, g.HeadSteps(), g.stepsBefore(), g.scratchTiles(), g.HeadSteps())
	k.line("simdgroup_barrier(mem_flags::mem_threadgroup);")
	k.close()
	k.close()
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
}

// normHeads finishes the norm of the lane's pairs at row t of the block.
func (g *gemm) normHeads(e *emitter, p *task.Part, t affine, ix []affine) {
	steps := int(p.HeadDim()) / choice.HeadStep
	e.k.line("const float head_scale = gemm_head_scale<%du>(%s + (%s - first) * %du + (%s + n / %du) / %du * %du, %s);",
		steps, g.squares, t.String(), g.HeadSteps(), g.stepsBefore(), g.scratchTiles(), steps, steps, floatText(p.HeadNorm.Attr.Eps))
	bindHeadNorm(e, p, ix, "head_scale")
}
