package runtime

import (
	"errors"

	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// The toy is a language model in three kernels: remember the ids in a cache,
// score every token by a sum over the cache, choose the largest. Its logits
// depend on all tokens before, on their positions and on the weights, and
// every third position has equal largest logits.
const (
	toyVocab   = 16
	toyContext = 12
	toyChunk   = 4
)

// toyLogits is the definition that the kernels are held against.
func toyLogits(weights []float32, prefix []int32) []float32 {
	out := make([]float32, toyVocab)
	for v := range out {
		for i, id := range prefix {
			out[v] += weights[(int(id)*7+i*3+v)%len(weights)]
		}
		if len(prefix)%3 == 0 && v%5 == 2 {
			out[v] = 1000
		}
	}
	return out
}

func argmax(logits []float32) int32 {
	best := 0
	for i, v := range logits {
		if v > logits[best] {
			best = i
		}
	}
	return int32(best)
}

func toyWeights() []float32 {
	w := make([]float32, 31)
	for i := range w {
		w[i] = float32((i*i*5 + 3) % 29)
	}
	return w
}

// toyGreedy continues prompt by n tokens.
func toyGreedy(prompt []int32, n int) []int32 {
	seq := append([]int32(nil), prompt...)
	for range n {
		seq = append(seq, argmax(toyLogits(toyWeights(), seq)))
	}
	return seq[len(prompt):]
}

func toyKernels(allLogits bool) map[string]func([3]int64, [][]byte) error {
	return map[string]func([3]int64, [][]byte) error{
		"remember": func(grid [3]int64, b [][]byte) error {
			t, p := word(b[0], plan.StepT), word(b[0], plan.StepP)
			if grid != [3]int64{int64(t), 1, 1} {
				return errors.New("grid and step differ")
			}
			for i := range t {
				setWord(b[2], int(p+i), word(b[1], int(i)))
			}
			return nil
		},
		"score": func(_ [3]int64, b [][]byte) error {
			t, p := int(word(b[0], plan.StepT)), int(word(b[0], plan.StepP))
			weights := make([]float32, len(b[2])/4)
			for i := range weights {
				weights[i] = float(b[2], i)
			}
			prefix := make([]int32, p+t)
			for i := range prefix {
				prefix[i] = int32(word(b[1], i))
			}
			for row := range t {
				for v, x := range toyLogits(weights, prefix[:p+row+1]) {
					setFloat(b[3], row*toyVocab+v, x)
				}
			}
			return nil
		},
		"choose": func(_ [3]int64, b [][]byte) error {
			scores, logits, token, step, ids, history := b[0], b[1], b[2], b[3], b[4], b[5]
			t, p := int(word(step, plan.StepT)), word(step, plan.StepP)
			last := scores[4*toyVocab*(t-1) : 4*toyVocab*t]
			if allLogits {
				copy(logits, scores[:4*toyVocab*t])
			} else {
				copy(logits, last)
			}
			row := make([]float32, toyVocab)
			for i := range row {
				row[i] = float(last, i)
			}
			id := uint32(argmax(row))
			copy(history[4*p:], ids[:4*t])
			setWord(history, int(p)+t, id)
			setWord(token, 0, id)
			setWord(ids, 0, id)
			setWord(step, plan.StepToken, id)
			setWord(step, plan.StepT, 1)
			setWord(step, plan.StepP, p+uint32(t))
			setWord(step, plan.StepS, p+uint32(t)+1)
			return nil
		},
	}
}

func toyPlan(allLogits bool) *plan.Plan {
	slot := func(name, typ string, a plan.Access) plan.Slot {
		return plan.Slot{Name: name, Type: typ, Space: "device", Access: a}
	}
	kernel := func(name string, slots ...plan.Slot) plan.Kernel {
		return plan.Kernel{Name: name, Builtins: []plan.Builtin{plan.ThreadgroupPosition}, Source: "kernel void " + name + "() {}", Slots: slots, Threads: [3]int{1, 1, 1}}
	}
	rows := int64(1)
	if allLogits {
		rows = toyChunk
	}
	dims := func(n ...int64) (out []sym.Dim) {
		for _, v := range n {
			out = append(out, sym.Const(v))
		}
		return out
	}
	const scoreBytes = 4 * toyVocab * toyChunk
	p := &plan.Plan{
		Schema: plan.Schema, MSL: "3.0", ArenaBytes: 512,
		Model:   plan.Model{Name: "toy", Vocab: toyVocab, Context: toyContext, Chunk: toyChunk},
		Options: plan.Options{Weights: dtype.F32, Cache: dtype.F32, AllLogits: allLogits},
		Kernels: []plan.Kernel{
			kernel("remember", slot("step", "Step", plan.Read), slot("ids", "int", plan.Read), slot("cache", "int", plan.ReadWrite)),
			kernel("score", slot("step", "Step", plan.Read), slot("cache", "int", plan.Read), slot("w", "float", plan.Read), slot("scores", "float", plan.Write)),
			kernel("choose", slot("scores", "float", plan.Read), slot("logits", "float", plan.Write), slot("token", "int", plan.Write),
				slot("step", "Step", plan.ReadWrite), slot("ids", "int", plan.ReadWrite), slot("history", "int", plan.Write)),
		},
		Buffers: []plan.Buffer{
			{Name: "step", Class: plan.State, Bytes: plan.StepBytes, DType: dtype.I32, Shape: dims(32), Role: plan.StepBuffer},
			{Name: "ids", Class: plan.State, Bytes: 4 * toyChunk, DType: dtype.I32, Shape: dims(toyChunk), Role: plan.IDsBuffer},
			{Name: "cache", Class: plan.State, Bytes: 4 * toyContext, DType: dtype.I32, Shape: dims(toyContext)},
			{Name: "w", Class: plan.Weight, Bytes: 4 * 31, DType: dtype.F32, Shape: dims(31), Weight: &plan.WeightRecipe{Tensor: "w", Kind: "as_stored"}},
			{Name: "scores", Class: plan.Transient, Bytes: scoreBytes, Offset: 256, DType: dtype.F32, Shape: []sym.Dim{sym.T, sym.Const(toyVocab)}},
			{Name: "logits", Class: plan.Output, Bytes: 4 * toyVocab * rows, DType: dtype.F32, Shape: dims(rows, toyVocab), Role: plan.LogitsBuffer},
			{Name: "token", Class: plan.Output, Bytes: 4, DType: dtype.I32, Shape: dims(1), Role: plan.TokenBuffer},
			{Name: "history", Class: plan.State, Bytes: 4 * (toyContext + 1), DType: dtype.I32, Shape: dims(toyContext + 1), Role: plan.HistoryBuffer},
		},
	}
	for _, e := range []plan.Entry{{Name: "prefill", Role: plan.Prefill, TMin: 1, TMax: toyChunk}, {Name: "decode", Role: plan.Decode, TMin: 1, TMax: 1}} {
		one := plan.GridDim{N: sym.Const(1), Div: 1}
		t := plan.GridDim{N: sym.T, Div: 1}
		if e.Name == "decode" {
			t = one
		}
		bind := func(buffer int, a plan.Access) plan.Binding {
			return plan.Binding{Buffer: buffer, Bytes: p.Buffers[buffer].Bytes, Access: a}
		}
		step := func(kernel, wave int, grid plan.GridDim, b ...plan.Binding) plan.Step {
			return plan.Step{Dispatch: &plan.Dispatch{Kernel: kernel, Label: p.Kernels[kernel].Name, Layer: -1, Wave: wave,
				Grid: [3]plan.GridDim{grid, one, one}, Bind: b}}
		}
		e.Steps = []plan.Step{
			step(0, 0, t, bind(0, plan.Read), bind(1, plan.Read), bind(2, plan.ReadWrite)),
			{Barrier: true},
			step(1, 1, one, bind(0, plan.Read), bind(2, plan.Read), bind(3, plan.Read), bind(4, plan.Write)),
			{Barrier: true},
			step(2, 2, one, bind(4, plan.Read), bind(5, plan.Write), bind(6, plan.Write), bind(0, plan.ReadWrite), bind(1, plan.ReadWrite), bind(7, plan.Write)),
		}
		e.CommandBuffers = []plan.CommandBuffer{{First: 0, Last: 2}, {First: 2, Last: 5}}
		e.Results = []plan.Result{{Name: "logits", Buffer: 5}, {Name: "token", Buffer: 6}}
		p.Entries = append(p.Entries, e)
	}
	return p
}
