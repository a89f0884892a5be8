package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// remember writes the ids of the run into the history, in a kernel of one
// threadgroup. The function it returns writes, for one thread, that the step moves
// on with a token.
func (r *region) remember(k *kernel) (advance func(token string)) {
	k.use("epilogue/advance.metal")
	step := k.slot(ref{kind: refStep}, "step", "Step", plan.ReadWrite)
	ids := k.slot(ref{kind: refIDs}, "ids", "int", plan.ReadWrite)
	history := k.slot(ref{kind: refHistory}, "history", "int", plan.Write)
	limit := r.g.Bounds.SMax + 1
	k.phase("Prologue: the run's ids become history.")
	call := fmt.Sprintf("remember_ids(%s, %s, %s, %du, thread_index, %du);", step, ids, history, limit, k.threads)
	if r.g.Bounds.TMax == 1 {
		k.line("if (thread_index == 0u) %s", call)
	} else {
		k.line("%s", call)
		k.line("threadgroup_barrier(mem_flags::mem_device);")
	}
	return func(token string) {
		k.phase("Epilogue: the token is the input of the next run.")
		k.line("advance_step(%s, %s, %s, %du, %s);", step, ids, history, limit, token)
	}
}

// history returns the buffer of the ids of the sequence: one for each position of
// the context, and one for the token behind the last.
func (c *compiler) history(b sym.Bounds) *storage {
	s, _ := c.share("state", "history", plan.State, ir.TypeOf(dtype.I32, sym.Const(b.SMax+1)), b)
	s.special = "history"
	c.store(s)
	return s
}
