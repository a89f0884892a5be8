package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/plan"
)

// The numbers that shaders/main/sample.metal is written for.
const (
	samplePart       = task.SamplePart
	sampleThreads    = 256
	sampleBins       = 2048
	sampleHistograms = 5
	sampleWords      = 32
)

// sampler is a sample operation on its way to kernels.
type sampler struct {
	r     *region
	n     *ir.Node
	rows  sym.Dim
	vocab int64
	parts int64
	list  lowering
}

// The memory between the kernels of sample, by scratch number.
const (
	sampleScores = iota
	sampleBest
	samplePlace
	sampleCounts
	sampleProgress
	sampleSums
)

// lowerSample lowers sample alone: scores by part, the levels of the search for the
// cuts of top-k and top-p, the weights that parts keep, the choice. Settings are
// read where they are needed, so a level that they do not ask for ends at once.
func (r *region) lowerSample() *lowering {
	n := r.g.Nodes()[0]
	in := n.Args[0].Type.Shape
	vocab := in.At(1).C
	s := &sampler{r: r, n: n, rows: in.At(0), vocab: vocab, parts: (vocab + samplePart - 1) / samplePart}
	words := func(t dtype.Type, per int64) ir.Type { return ir.TypeOf(t, s.rows, sym.Const(per)) }
	s.list.scratch = []scratch{
		sampleScores:   {"scores", words(dtype.F32, s.parts*samplePart)},
		sampleBest:     {"part_best", words(dtype.F32, s.parts)},
		samplePlace:    {"part_place", words(dtype.I32, s.parts)},
		sampleCounts:   {"histograms", words(dtype.I32, sampleHistograms*3*sampleBins)},
		sampleProgress: {"progress", words(dtype.I32, sampleWords)},
		sampleSums:     {"sums", words(dtype.I32, 4*s.parts)},
	}
	for _, write := range []func(){s.scores, s.levels, s.sums, s.choose} {
		write()
	}
	return &s.list
}

// begin begins one of the kernels; groups is how many threadgroups a row has.
func (s *sampler) begin(name string, main plan.Main, groups int64, files ...string) (*kernel, *emitter) {
	k := newKernel(fmt.Sprintf("sample_%s_%d", name, s.vocab), identity{main, "sample"})
	if len(s.list.kernels) > 0 {
		k.label = name
	}
	k.threads = sampleThreads
	k.grid[0].N, k.grid[1].N = sym.Const(groups), s.rows
	k.param("N", int(s.vocab))
	k.param("part", samplePart)
	k.use("main/sample.metal")
	k.use(files...)
	k.builtin(plan.ThreadgroupPosition)
	k.builtin(plan.ThreadIndex)
	k.builtin(plan.SimdgroupIndex)
	k.builtin(plan.LaneIndex)
	k.ready()
	s.list.kernels = append(s.list.kernels, k)
	return k, newEmitter(k, s.r, 1)
}

// between returns the pointer to a row of the memory between kernels.
func (s *sampler) between(k *kernel, which int, mslType string, a plan.Access) string {
	name := s.list.scratch[which].name
	per := s.list.scratch[which].typ.Shape.At(1).C
	return fmt.Sprintf("%s + group.y * %du", k.slot(ref{refScratch, which}, name, mslType, a), per)
}

// part is the pointer to the scores of the threadgroup's part.
func (s *sampler) part(k *kernel) string {
	return s.between(k, sampleScores, "float", plan.Read) + fmt.Sprintf(" + group.x * %du", samplePart)
}

func (s *sampler) best(k *kernel) string { return s.between(k, sampleBest, "float", plan.Read) }

func (s *sampler) settings(e *emitter) string { return s.operand(e, 1, number(0)) }

func (s *sampler) operand(e *emitter, i int, ix ...affine) string {
	return e.pointer(s.n.Args[i], ix)
}

func (s *sampler) scores() {
	k, e := s.begin("scores", plan.SampleScores, s.parts, "main/argmax.metal", "main/sample_scores.metal")
	x := s.operand(e, 0, e.Know("group.y", 0, 1), number(0))
	_, from, _ := e.Address(s.n.Args[0], []affine{variable("group.y"), number(0)})
	settings := s.settings(e)
	seen := s.operand(e, 3, number(0))
	marks := k.threadgroup("marks", "atomic_uint", samplePart/8)
	scores := s.between(k, sampleScores, "float", plan.Write)
	counts := s.between(k, sampleCounts, "uint", plan.Write)
	all := sampleHistograms * 3 * sampleBins
	k.phase("Progress and the histograms of the levels begin at zero.")
	k.line("if (group.x == 0u && thread_index < SAMPLE_WORDS) (%s)[thread_index] = 0u;", s.between(k, sampleProgress, "uint", plan.Write))
	k.line("if (sample_draws(%s) && (sample_by_count(%s, %du) || sample_by_weight(%s)))", settings, settings, s.vocab, settings)
	k.line("    for (uint i = group.x * %du + thread_index; i < %du; i += %du) (%s)[i] = 0u;", sampleThreads, all, s.parts*sampleThreads, counts)
	k.phase("Main: the part's scores, and the largest.")
	k.line("float best;")
	k.line("uint place;")
	k.line("sample_scores<%t>(%s, %du, group.x * %du, %s, %s, %s, %s, %s, thread_index, best, place);", e.Divides(4, from),
		x, s.vocab, samplePart, settings, seen, k.text(dimension(s.n.Args[3].Type.Shape.At(0))), marks, scores)
	e.argmaxMerge(sampleThreads / 32)
	k.open("if (thread_index == 0u)")
	k.line("(%s)[group.x] = best;", s.between(k, sampleBest, "float", plan.Write))
	k.line("(%s)[group.x] = place;", s.between(k, samplePlace, "uint", plan.Write))
	k.close()
}

func (s *sampler) levels() {
	for level := range sampleHistograms {
		k, e := s.begin(fmt.Sprintf("level_%d", level), plan.SampleCuts, s.parts, "main/sample_cut.metal")
		scores, best, settings := s.part(k), s.best(k), s.settings(e)
		local := k.threadgroup("gathered", "atomic_uint", 3*4*sampleBins)
		vocab := fmt.Sprintf(", %du", s.vocab)
		if level == sampleHistograms-1 {
			vocab = ""
		}
		if level == 0 {
			counts := s.between(k, sampleCounts, "atomic_uint", plan.ReadWrite)
			k.line("sample_level_0(%s, %s, %du, %s%s, %s, %s, thread_index, lane);", scores, best, s.parts, settings, vocab, counts, local)
		} else {
			progress := s.between(k, sampleProgress, "uint", plan.ReadWrite)
			counts := s.between(k, sampleCounts, "atomic_uint", plan.ReadWrite)
			shared := k.threadgroup("shared", "ulong", 8*16)
			k.line("sample_level_%d(%s, %s, %du, %s%s, %s, %s, group.x == 0u, %s, %s, thread_index, simd, lane);",
				level, scores, best, s.parts, settings, vocab, progress, counts, local, shared)
		}
	}
}

func (s *sampler) sums() {
	k, e := s.begin("sums", plan.SampleSums, s.parts, "main/sample_cut.metal", "main/sample_choose.metal")
	scores, best, settings := s.part(k), s.best(k), s.settings(e)
	progress := s.between(k, sampleProgress, "uint", plan.ReadWrite)
	counts := s.between(k, sampleCounts, "uint", plan.Read)
	sums := s.between(k, sampleSums, "uint", plan.Write)
	shared, partial := k.threadgroup("shared", "ulong", 8*16), k.threadgroup("partial", "uint", 4*32)
	k.line("if (!sample_draws(%s)) return;", settings)
	k.line("const float best = sample_best(%s, %du, lane);", best, s.parts)
	k.line("const uint2 cut = sample_cut(%s, best, %s, %du, %s + %du, group.x == 0u, %s, thread_index, simd, lane);",
		progress, settings, s.vocab, counts, (sampleHistograms-1)*3*sampleBins, shared)
	k.line("sample_sums(%s, cut.x, best, %s, %s, %s + group.x * 4u, thread_index, simd, lane);", scores, settings, partial, sums)
}

func (s *sampler) choose() {
	k, e := s.begin("choose", plan.SampleChoice, 1, "main/argmax.metal", "main/sample_choose.metal")
	k.moved = s.rows.Poly().Scale(4*samplePart + 16*s.parts)
	scores, settings := s.between(k, sampleScores, "float", plan.Read), s.settings(e)
	best, place := s.best(k), s.between(k, samplePlace, "uint", plan.Read)
	sums, progress := s.between(k, sampleSums, "uint", plan.Read), s.between(k, sampleProgress, "uint", plan.Read)
	u := s.operand(e, 2, e.Know("group.y", 0, 1))
	shared := k.threadgroup("shared", "ulong", 8*16)
	values, places := k.threadgroup("values", "float", 4*sampleThreads/32), k.threadgroup("places", "uint", 4*sampleThreads/32)
	token := k.slot(ref{refResult, 0}, "token", "int", plan.Write)
	take := s.r.remember(k)
	k.use("epilogue/refuse.metal")
	refused := k.slot(ref{kind: refRefused}, "refused", "atomic_uint", plan.Write)
	k.phase("Main: the largest score, or a draw.")
	k.line("float best = -INFINITY;")
	k.line("uint chosen = 0xffffffffu;")
	k.line("for (uint i = thread_index; i < %du; i += %du) argmax_take(best, chosen, (%s)[i], (%s)[i]);", s.parts, sampleThreads, best, place)
	k.line("argmax_group<%du>(best, chosen, %s, %s, simd, lane);", sampleThreads/32, values, places)
	k.line("const float top = sample_best(%s, %du, lane);", best, s.parts)
	k.open("if (sample_draws(%s) && isfinite(top))", settings)
	k.line("chosen = sample_choose(%s, %s, %du, %s + SAMPLE_CUT, top, *(%s), %s, %s, thread_index, simd, lane);",
		scores, sums, s.parts, progress, u, settings, shared)
	k.close()
	k.open("if (thread_index == 0u)")
	k.open("if (!isfinite(top))")
	k.line("chosen = 0u;")
	k.line("refuse(%s, %du, group.y);", refused, plan.ErrLogits)
	k.close()
	k.line("%s[group.y] = int(chosen);", token)
	take("int(chosen)")
	k.close()
}
