package metal

import (
	"foundry/ir/dtype"
	"foundry/lower/msl"
)

// startRows brings the first blocks of an operand that is kept as halves, in the order of
// weights of t. Rows beyond the end repeat the last one and are not stored.
func (g *gemm) startRows(k *kernel, stage *msl.Value, t dtype.Type) {
	chunks := g.Rows * g.Depth / 8
	mine := (chunks + g.threads() - 1) / g.threads()
	k.phase("Prologue: the first blocks of the operand, which is kept as halves.")
	k.line("device const uchar *from[%d];", mine)
	k.open("for (uint i = 0u; i < %du; i++)", mine)
	k.line("const uint m = min(first + gemm_row<ROWS, DEPTH, THREADS, 8u>(i, thread_index), %s - 1u);", k.text(dimension(g.Tokens)))
	k.line("from[i] = (device const uchar *)(%s) + ulong(m) * %du;", g.r.at(k, g.Inner.Index, affine{Const: g.r.operands[g.Inner.Index].Layout.Off}), 2*g.Length)
	k.close()
	k.line("gemm_rows<%s, ROWS, DEPTH, THREADS> left;", g.format(t).reader(g.chunk(t)))
	for s := range g.Stages - 1 {
		if int64(s) < g.blocks() {
			k.line("left.start(from, %s + %du * LEFT, %du, thread_index);", stage, s, s)
			k.line("left.land(%s + %du * LEFT, thread_index);", stage, s)
		}
		k.line("tile_launched();")
	}
}

// mainCopied walks over K where both operands are copied as they lie. The barrier in
// front of block b says that it is there, and that the place of block b - 1 is free for
// the one that is started now.
func (g *gemm) mainCopied(k *kernel, stage *msl.Value) {
	k.phase("Main: products of blocks.")
	k.line("uint now = 0u, next = %du; // places of the block that is multiplied, and brought", g.Stages-1)
	k.open("for (uint b = 0u; b < BLOCKS; b++)")
	k.line("tile_wait<%du>();", g.Stages-2)
	g.by.staged(k)
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
	k.line("const bool more = b + %du < BLOCKS;", g.Stages-1)
	bring := func() {
		k.line("if (more) left.start(from, %s + next * LEFT, b + %du, thread_index);", stage, g.Stages-1)
		k.line("if (more) weights.start(row, right + next * RIGHT, b + %du, thread_index);", g.Stages-1)
		k.line("tile_launched();")
	}
	g.by.beside(bring, func() { g.by.multiply(k, raw("%s + now * LEFT", stage).String(), "right + now * RIGHT") })
	k.line("if (more) left.land(%s + next * LEFT, thread_index);", stage)
	k.line("if (more) weights.land(right + next * RIGHT, thread_index);")
	g.by.settle(k)
	k.line("now = now == %du ? 0u : now + 1u;", g.Stages-1)
	k.line("next = next == %du ? 0u : next + 1u;", g.Stages-1)
	k.close()
	k.line("threadgroup_barrier(mem_flags::mem_threadgroup);")
}
