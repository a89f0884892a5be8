package metal

import (
	"fmt"

	"foundry/ir"
	"foundry/ir/dtype"
	choice "foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// sampler is a sample operation on its way to kernels.
type sampler struct {
	choice.Sample
	r    *region
	n    *ir.Node
	rows sym.Dim
	list lowering
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

// sample writes sample alone: scores by part, the levels of the search for the
// cuts of top-k and top-p, the weights that parts keep, the choice. Settings are
// read where they are needed, so a level that they do not ask for ends at once.
func (r *region) sample(chosen choice.Sample) *lowering {
	n := r.g.Nodes()[0]
	s := &sampler{Sample: chosen, r: r, n: n, rows: n.Args[0].Type.Shape.At(0)}
	words := func(t dtype.Type, per int64) ir.Type { return ir.TypeOf(t, s.rows, sym.Const(per)) }
	s.list.scratch = []scratch{
		sampleScores:   {"scores", words(dtype.F32, s.Parts()*choice.SamplePart)},
		sampleBest:     {"part_best", words(dtype.F32, s.Parts())},
		samplePlace:    {"part_place", words(dtype.I32, s.Parts())},
		sampleCounts:   {"histograms", words(dtype.I32, choice.SampleHistograms*3*choice.SampleBins)},
		sampleProgress: {"progress", words(dtype.I32, choice.SampleWords)},
		sampleSums:     {"sums", words(dtype.I32, 4*s.Parts())},
	}
	for _, write := range []func(){s.scores, s.levels, s.sums, s.choose} {
		write()
	}
	return &s.list
}

// begin begins the next of the kernels.
func (s *sampler) begin(main plan.Main, files ...string) (*kernel, *emitter) {
	next := s.Kernels()[len(s.list.kernels)]
	k := newKernel(fmt.Sprintf("sample_%s_%d", next.Name, s.Vocab), identity{main, "sample"})
	if len(s.list.kernels) > 0 {
		k.label = next.Name
	}
	k.threads = s.Threads()
	k.grid[0].N, k.grid[1].N = sym.Const(next.Groups), s.rows
	k.param("N", int(s.Vocab))
	k.param("part", choice.SamplePart)
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
	return s.between(k, sampleScores, "float", plan.Read).Add(groupX.Mul(u(choice.SamplePart)))
}

func (s *sampler) best(k *kernel) *msl.Value { return s.between(k, sampleBest, "float", plan.Read) }

func (s *sampler) settings(e *emitter) *msl.Value { return s.operand(e, 1, number(0)) }

func (s *sampler) operand(e *emitter, i int, ix ...affine) *msl.Value {
	return e.pointer(s.n.Args[i], ix)
}

func (s *sampler) scores() {
	k, e := s.begin(plan.SampleScores, "main/argmax.metal", "main/sample_scores.metal")
	row := e.know(groupY, 0, 1)
	x := s.operand(e, 0, row, number(0))
	_, from, _ := e.Address(s.n.Args[0], []affine{row, number(0)})
	settings := s.settings(e)
	seen := s.operand(e, 3, number(0))
	marks := k.threadgroup("marks", "atomic_uint", s.MarkBytes())
	scores := s.between(k, sampleScores, "float", plan.Write)
	counts := s.between(k, sampleCounts, "uint", plan.Write)
	const all = choice.SampleHistograms * 3 * choice.SampleBins
	k.phase("Progress and the histograms of the levels begin at zero.")
	progress := s.between(k, sampleProgress, "uint", plan.Write)
	k.add(msl.When(groupX.Equal(u(0)).And(thread.Less(msl.Name("SAMPLE_WORDS"))), msl.Set(progress.Paren().At(thread), u(0))))
	cuts := msl.Call("sample_by_count", settings, u(s.Vocab)).Or(msl.Call("sample_by_weight", settings))
	i := msl.Variable("i")
	clear := &msl.For{Variable: i, From: groupX.Mul(u(k.threads)).Add(thread), Below: u(all), Step: u(s.Parts() * int64(k.threads)), Line: true,
		Body: []msl.Statement{msl.Set(counts.Paren().At(i), u(0))}}
	k.when(msl.Call("sample_draws", settings).And(cuts), func() { k.add(clear) })
	k.phase("Main: the part's scores, and the largest.")
	b := k.newBest()
	k.do(msl.Of("sample_scores", msl.Bool(e.Divides(4, from))).Call(x, u(s.Vocab), groupX.Mul(u(choice.SamplePart)), settings, seen,
		k.dim(s.n.Args[3].Type.Shape.At(0)), marks, scores, thread, b.value, b.place))
	e.argmaxMerge(b, k.threads/32)
	k.when(thread.Equal(u(0)), func() {
		k.add(msl.Set(s.between(k, sampleBest, "float", plan.Write).Paren().At(groupX), b.value))
		k.add(msl.Set(s.between(k, samplePlace, "uint", plan.Write).Paren().At(groupX), b.place))
	})
}

func (s *sampler) levels() {
	for level := range choice.SampleHistograms {
		k, e := s.begin(plan.SampleCuts, "main/sample_cut.metal")
		scores, best, settings := s.part(k), s.best(k), s.settings(e)
		local := k.threadgroup("gathered", "atomic_uint", s.HistogramBytes())
		args := []*msl.Value{scores, best, u(s.Parts()), settings}
		if level < choice.SampleHistograms-1 {
			args = append(args, u(s.Vocab))
		}
		if level == 0 {
			counts := s.between(k, sampleCounts, "atomic_uint", plan.ReadWrite)
			args = append(args, counts, local, thread, lane)
		} else {
			progress := s.between(k, sampleProgress, "uint", plan.ReadWrite)
			counts := s.between(k, sampleCounts, "atomic_uint", plan.ReadWrite)
			shared := k.threadgroup("shared", "ulong", s.ExchangeBytes())
			args = append(args, progress, counts, groupX.Equal(u(0)), local, shared, thread, simd, lane)
		}
		k.do(msl.Call(fmt.Sprintf("sample_level_%d", level), args...))
	}
}

func (s *sampler) sums() {
	k, e := s.begin(plan.SampleSums, "main/sample_cut.metal", "main/sample_choose.metal")
	scores, best, settings := s.part(k), s.best(k), s.settings(e)
	progress := s.between(k, sampleProgress, "uint", plan.ReadWrite)
	counts := s.between(k, sampleCounts, "uint", plan.Read)
	sums := s.between(k, sampleSums, "uint", plan.Write)
	shared, partial := k.threadgroup("shared", "ulong", s.ExchangeBytes()), k.threadgroup("partial", "uint", s.PartialBytes())
	k.add(msl.When(msl.Call("sample_draws", settings).Not(), &msl.Return{}))
	largest := k.let(constFloat, "best", msl.Call("sample_best", best, u(s.Parts()), lane))
	cut := k.let(constUint2, "cut", msl.Call("sample_cut", progress, largest, settings, u(s.Vocab), counts.Add(u((choice.SampleHistograms-1)*3*choice.SampleBins)),
		groupX.Equal(u(0)), shared, thread, simd, lane))
	k.do(msl.Call("sample_sums", scores, cut.Dot("x"), largest, settings, partial, sums.Add(groupX.Mul(u(4))), thread, simd, lane))
}

func (s *sampler) choose() {
	k, e := s.begin(plan.SampleChoice, "main/argmax.metal", "main/sample_choose.metal")
	k.moved = s.rows.Poly().Scale(4*choice.SamplePart + 16*s.Parts())
	scores, settings := s.between(k, sampleScores, "float", plan.Read), s.settings(e)
	bests, places := s.best(k), s.between(k, samplePlace, "uint", plan.Read)
	sums, progress := s.between(k, sampleSums, "uint", plan.Read), s.between(k, sampleProgress, "uint", plan.Read)
	draw := s.operand(e, 2, e.know(groupY, 0, 1))
	shared := k.threadgroup("shared", "ulong", s.ExchangeBytes())
	token := k.slot(ref{refResult, 0}, "token", "int", plan.Write)
	take := s.r.remember(k)
	k.phase("Main: the largest score, or a draw.")
	b := best{k.let(floatType, "best", leastValue), k.let(uintType, "chosen", noPlace)}
	k.mergeBest(b, s.Parts(), func(i *msl.Value) (value, place *msl.Value) { return bests.Paren().At(i), places.Paren().At(i) })
	e.argmaxMerge(b, k.threads/32)
	top := k.let(constFloat, "top", msl.Call("sample_best", bests, u(s.Parts()), lane))
	k.when(msl.Call("sample_draws", settings).And(msl.Call("isfinite", top)), func() {
		k.add(msl.Set(b.place, msl.Call("sample_choose", scores, sums, u(s.Parts()), progress.Add(msl.Name("SAMPLE_CUT")), top, draw.Paren().Deref(),
			settings, shared, thread, simd, lane)))
	})
	k.when(thread.Equal(u(0)), func() {
		k.refuseLogits(top, b.place, groupY)
		chosen := msl.Call("int", b.place)
		k.add(msl.Set(token.At(groupY), chosen))
		take(chosen)
	})
}
