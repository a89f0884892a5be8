package metal

import (
	"slices"

	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// runs writes results by element and the sums of the squares of runs of them: a thread
// computes four elements, stores them, and adds up their squares with the threads of its run.
func (r *region) runs(chosen choice.Runs) *lowering {
	k := newKernel(kernelBase(r.name, r.g.Results[0].Value.Type), r.identity("runs-of-elements"))
	k.threads = chosen.Threads()
	k.param("width", choice.RunsWidth)
	k.param("run", chosen.Size)
	k.use("prologue/rms_norm.metal", "common/load.metal")
	k.builtin(plan.ThreadPosition)
	k.ready()
	e := newEmitter(k, r, choice.RunsWidth)
	e.owns = true // each element is one thread's, read once
	p := task.RunsElements(r.asked)
	g, _ := p.Grid(e.Width) // cost has asked
	k.grid[0], k.grid[1].N = plan.GridDim{N: g.Columns, Div: int64(k.threads)}, g.Rows
	exists := positionX.Less(k.dim(g.Columns))
	if g.Rows != sym.Const(1) {
		k.builtin(plan.ThreadgroupPosition)
	}
	there := k.let(constBool, k.fresh("exists"), exists)
	ix := e.Cell(p, g)
	sums := map[int]*msl.Value{}
	for j := range r.g.Results {
		if !slices.Contains(p.Results, j) {
			sums[j] = k.let(floatType, k.fresh("squares"), zero)
		}
	}
	k.phase("Main: four elements a thread.")
	k.when(there, func() {
		defer e.scope()()
		e.report = onceAMatch(e, ix)
		for j, res := range r.g.Results {
			if to := sums[j]; to != nil {
				k.add(msl.Set(to, msl.Call("squares_of", e.at(res.Value.Def.Args[0], ix))))
			}
		}
		r.storeResults(e, p, ix)
	})
	for j := range r.g.Results {
		for apart := 1; apart < chosen.Lanes() && sums[j] != nil; apart *= 2 {
			k.add(msl.Raise(sums[j], msl.Call("simd_shuffle_xor", sums[j], msl.Call("ushort", msl.Int(apart)))))
		}
	}
	k.phase("Epilogue: the sums of runs, by the first thread of each.")
	if n := chosen.Lanes(); n > 1 {
		there = there.And(positionX.Mod(u(n)).Equal(u(0)))
	}
	k.when(there, func() {
		e.Width = 1
		at := slices.Clone(ix)
		at[len(at)-1], _ = e.Split(ix[len(ix)-1], sym.Const(int64(chosen.Size)), "run")
		for j := range r.g.Results {
			if sums[j] != nil {
				k.add(storing(1, e.target(j, at), r.asStored(k, j, sums[j])))
			}
		}
	})
	return alone(k)
}
