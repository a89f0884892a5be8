package metal

import (
	"foundry/ir/task"
	"foundry/lower/msl"
)

// Norms of heads behind a matrix product: the squares of a head meet in threadgroup
// memory, and behind a barrier each lane that has a pair of the head adds them up.

// bindHeadNorm names what the norm makes of a pair.
func bindHeadNorm(e *emitter, p *task.Part, ix []affine, scale *msl.Value) {
	n := p.HeadNorm
	for _, at := range [][]affine{ix, p.High(ix)} {
		x, gamma := e.at(n.Args[0], at), e.at(n.Args[1], at[2:])
		e.bind(n.Results[0], at, e.define("normed", x.Mul(scale).Mul(gamma)))
	}
}

// localUnit is the lane's unit among those of the threadgroup.
func (g *gemv) localUnit(s seats) *msl.Value { return g.owner.Mul(u(s.units)).Add(s.unit).Paren() }

// squareHeads leaves the squares of each unit's two rows in threadgroup memory.
func (g *gemv) squareHeads(k *kernel, p *task.Part, s seats) {
	if g.heads == nil {
		g.heads = k.threadgroup("head_squares", "float", 4*g.Owners()*s.units*g.Vectors)
	}
	k.use("main/gemv_heads.metal")
	k.phase("Epilogue: the squares of each head.")
	k.when(s.exists, func() {
		e := newEmitter(k, g.r, 1)
		_, ix, _ := g.bindUnit(e, p, s)
		a, b := e.at(p.HeadNorm.Args[0], ix), e.at(p.HeadNorm.Args[0], p.High(ix))
		own := s.vector.Paren().Mul(u(g.Owners() * s.units)).Add(g.localUnit(s))
		k.add(msl.Set(g.heads.At(own), a.Mul(a).Add(b.Mul(b))))
	})
	k.barrier()
}
