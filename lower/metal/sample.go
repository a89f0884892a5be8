package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/task"
	"foundry/lower/msl"
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
func (s *sampler) between(k *kernel, which int, mslType string, a plan.Access) *msl.Value {
	name := s.list.scratch[which].name
	per := s.list.scratch[which].typ.Shape.At(1).C
	return k.slot(ref{refScratch, which}, name, mslType, a).Add(groupY.Mul(u(per)))
}

// part is the pointer to the scores of the threadgroup's part.
func (s *sampler) part(k *kernel) *msl.Value {
	return s.between(k, sampleScores, "float", plan.Read).Add(groupX.Mul(u(samplePart)))
}

func (s *sampler) best(k *kernel) *msl.Value { return s.between(k, sampleBest, "float", plan.Read) }

func (s *sampler) settings(e *emitter) *msl.Value { return s.operand(e, 1, number(0)) }

func (s *sampler) operand(e *emitter, i int, ix ...affine) *msl.Value {
	return e.pointer(s.n.Args[i], ix)
}

func (s *sampler) scores() {
	k, e := s.begin("scores", plan.SampleScores, s.parts, "main/argmax.metal", "main/sample_scores.metal")
	row := e.know(groupY, 0, 1)
	x := s.operand(e, 0, row, number(0))
	_, from, _ := e.Address(s.n.Args[0], []affine{row, number(0)})
	settings := s.settings(e)
	seen := s.operand(e, 3, number(0))
	marks := k.threadgroup("marks", "atomic_uint", samplePart/8)
	scores := s.between(k, sampleScores, "float", plan.Write)
	counts := s.between(k, sampleCounts, "uint", plan.Write)
	const all = sampleHistograms * 3 * sampleBins
	k.phase("Progress and the histograms of the levels begin at zero.")
	progress := s.between(k, sampleProgress, "uint", plan.Write)
	k.add(msl.When(groupX.Equal(u(0)).And(thread.Less(msl.Name("SAMPLE_WORDS"))), msl.Set(progress.Paren().At(thread), u(0))))
	cuts := msl.Call("sample_by_count", settings, u(s.vocab)).Or(msl.Call("sample_by_weight", settings))
	i := msl.Variable("i")
	clear := &msl.For{Variable: i, From: groupX.Mul(u(sampleThreads)).Add(thread), Below: u(all), Step: u(s.parts * sampleThreads), Line: true,
		Body: []msl.Statement{msl.Set(counts.Paren().At(i), u(0))}}
	k.when(msl.Call("sample_draws", settings).And(cuts), func() { k.add(clear) })
	k.phase("Main: the part's scores, and the largest.")
	b := k.newBest()
	k.do(msl.Of("sample_scores", msl.Bool(e.Divides(4, from))).Call(x, u(s.vocab), groupX.Mul(u(samplePart)), settings, seen,
		k.dim(s.n.Args[3].Type.Shape.At(0)), marks, scores, thread, b.value, b.place))
	e.argmaxMerge(b, sampleThreads/32)
	k.when(thread.Equal(u(0)), func() {
		k.add(msl.Set(s.between(k, sampleBest, "float", plan.Write).Paren().At(groupX), b.value))
		k.add(msl.Set(s.between(k, samplePlace, "uint", plan.Write).Paren().At(groupX), b.place))
	})
}

func (s *sampler) levels() {
	for level := range sampleHistograms {
		k, e := s.begin(fmt.Sprintf("level_%d", level), plan.SampleCuts, s.parts, "main/sample_cut.metal")
		scores, best, settings := s.part(k), s.best(k), s.settings(e)
		local := k.threadgroup("gathered", "atomic_uint", 3*4*sampleBins)
		args := []*msl.Value{scores, best, u(s.parts), settings}
		if level < sampleHistograms-1 {
			args = append(args, u(s.vocab))
		}
		if level == 0 {
			counts := s.between(k, sampleCounts, "atomic_uint", plan.ReadWrite)
			args = append(args, counts, local, thread, lane)
		} else {
			progress := s.between(k, sampleProgress, "uint", plan.ReadWrite)
			counts := s.between(k, sampleCounts, "atomic_uint", plan.ReadWrite)
			shared := k.threadgroup("shared", "ulong", 8*16)
			args = append(args, progress, counts, groupX.Equal(u(0)), local, shared, thread, simd, lane)
		}
		k.do(msl.Call(fmt.Sprintf("sample_level_%d", level), args...))
	}
}

func (s *sampler) sums() {
	k, e := s.begin("sums", plan.SampleSums, s.parts, "main/sample_cut.metal", "main/sample_choose.metal")
	scores, best, settings := s.part(k), s.best(k), s.settings(e)
	progress := s.between(k, sampleProgress, "uint", plan.ReadWrite)
	counts := s.between(k, sampleCounts, "uint", plan.Read)
	sums := s.between(k, sampleSums, "uint", plan.Write)
	shared, partial := k.threadgroup("shared", "ulong", 8*16), k.threadgroup("partial", "uint", 4*32)
	k.add(msl.When(msl.Call("sample_draws", settings).Not(), &msl.Return{}))
	largest := k.let(constFloat, "best", msl.Call("sample_best", best, u(s.parts), lane))
	cut := k.let(constUint2, "cut", msl.Call("sample_cut", progress, largest, settings, u(s.vocab), counts.Add(u((sampleHistograms-1)*3*sampleBins)),
		groupX.Equal(u(0)), shared, thread, simd, lane))
	k.do(msl.Call("sample_sums", scores, cut.Dot("x"), largest, settings, partial, sums.Add(groupX.Mul(u(4))), thread, simd, lane))
}

func (s *sampler) choose() {
	k, e := s.begin("choose", plan.SampleChoice, 1, "main/argmax.metal", "main/sample_choose.metal")
	k.moved = s.rows.Poly().Scale(4*samplePart + 16*s.parts)
	scores, settings := s.between(k, sampleScores, "float", plan.Read), s.settings(e)
	bests, places := s.best(k), s.between(k, samplePlace, "uint", plan.Read)
	sums, progress := s.between(k, sampleSums, "uint", plan.Read), s.between(k, sampleProgress, "uint", plan.Read)
	draw := s.operand(e, 2, e.know(groupY, 0, 1))
	shared := k.threadgroup("shared", "ulong", 8*16)
	token := k.slot(ref{refResult, 0}, "token", "int", plan.Write)
	take := s.r.remember(k)
	k.phase("Main: the largest score, or a draw.")
	b := best{k.let(floatType, "best", leastValue), k.let(uintType, "chosen", noPlace)}
	k.mergeBest(b, s.parts, func(i *msl.Value) (value, place *msl.Value) { return bests.Paren().At(i), places.Paren().At(i) })
	e.argmaxMerge(b, sampleThreads/32)
	top := k.let(constFloat, "top", msl.Call("sample_best", bests, u(s.parts), lane))
	k.when(msl.Call("sample_draws", settings).And(msl.Call("isfinite", top)), func() {
		k.add(msl.Set(b.place, msl.Call("sample_choose", scores, sums, u(s.parts), progress.Add(msl.Name("SAMPLE_CUT")), top, draw.Paren().Deref(),
			settings, shared, thread, simd, lane)))
	})
	k.when(thread.Equal(u(0)), func() {
		k.refuseLogits(top, b.place, groupY)
		chosen := msl.Call("int", b.place)
		k.add(msl.Set(token.At(groupY), chosen))
		take(chosen)
	})
}
