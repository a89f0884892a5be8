package plan

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// sample is a small plan that uses every part of the format: a toy model whose
// prefill embeds, scales and picks a token, in two entries.
func sample(t testing.TB) *Plan {
	vec := func(n int64) []sym.Dim { return []sym.Dim{sym.Const(n)} }
	p := &Plan{
		Compiler: "foundry test",
		Model:    Model{Name: "toy", Layers: 1, Hidden: 64, Vocab: 32, Context: 16, Chunk: 8},
		Options: Options{Target: "apple-m3-pro", Passes: "canonicalize", Weights: dtype.F16, Cache: dtype.F16,
			Attention: "auto", AttentionChosen: "default", CommandBuffers: 2},
		Tokens: &Tokens{Ends: []int32{3, 1}, Special: []Token{{1, "<|end|>"}, {3, "<|turn|>"}},
			Template: &Template{Text: "{{ messages }}", Tools: "{{ tools }}", Names: []NamedToken{{"eos_token", "<|turn|>"}}}},
		MSL: "3.0",
		Kernels: []Kernel{
			{
				Name: "embed", Main: Elementwise, Stages: []string{"common/step.metal"}, Source: "kernel void embed() {}\n",
				Slots: []Slot{
					{"step", "Step", "constant", Read}, {"ids", "int", "device", Read},
					{"table", "half", "device", Read}, {"x", "float", "device", Write},
				},
				Builtins: []Builtin{ThreadgroupPosition, ThreadIndex},
				Threads:  [3]int{64, 1, 1},
				Params:   []Param{{"hidden", 64}},
			},
			{
				Name: "scale", Main: Elementwise, Source: "kernel void scale_it() { /* a <b> & c */ }\n",
				Slots: []Slot{
					{"x", "float4", "device", Read}, {"factor", "float", "device", Read},
					{"cache", "half", "device", ReadWrite}, {"y", "float4", "device", Write},
				},
				Threadgroup: []ThreadgroupArg{{"partial", "float", 128}, {"row", "float", 256}},
				Builtins:    []Builtin{ThreadPosition, LaneIndex, SimdgroupIndex, ThreadgroupsPerGrid},
				Threads:     [3]int{32, 4, 1},
			},
			{
				Name: "pick", Source: "kernel void pick() {}\n",
				Slots: []Slot{
					{"y", "float", "device", Read}, {"logits", "float", "device", Write}, {"token", "int", "device", Write},
					{"step", "Step", "device", ReadWrite}, {"ids", "int", "device", ReadWrite},
				},
				Threads: [3]int{1024, 1, 1},
			},
		},
		Buffers: []Buffer{
			{Name: "step", Class: State, Bytes: StepBytes, DType: dtype.I32, Shape: vec(32), Role: StepBuffer},
			{Name: "ids", Class: State, Bytes: 32, DType: dtype.I32, Shape: vec(8), Role: IDsBuffer},
			{Name: "embed", Class: Weight, Bytes: 4096, DType: dtype.F16, Shape: []sym.Dim{sym.Const(32), sym.Const(64)},
				Weight: &WeightRecipe{"model.embed_tokens.weight", "convert"}},
			{Name: "factor", Class: Constant, Bytes: 8, DType: dtype.F32, Shape: vec(2), Values: []float32{0.5, 1e-30}},
			{Name: "layers.0.k", Class: State, Bytes: 2048, DType: dtype.F16, Shape: []sym.Dim{sym.Const(16), sym.Const(64)}, Cache: true},
			{Name: "x", Class: Transient, Bytes: 2048, DType: dtype.F32, Shape: []sym.Dim{sym.T, sym.Const(64)}},
			{Name: "y", Class: Transient, Bytes: 2048, Offset: 2048, DType: dtype.F32, Shape: []sym.Dim{sym.T, sym.Const(64)}},
			{Name: "logits", Class: Output, Bytes: 128, DType: dtype.F32, Shape: vec(32), Role: LogitsBuffer},
			{Name: "token", Class: Output, Bytes: 4, DType: dtype.I32, Shape: vec(1), Role: TokenBuffer},
		},
		ArenaBytes: 4096,
		Decisions: []Decision{{Pass: "fuse", Pattern: "norm+qkv", Node: "%3", Layer: 0, Outcome: "refused",
			Reason: "slots 33 > 31", Bytes: 1, Waves: 2}},
	}
	for _, e := range []Entry{{Name: "prefill", Role: Prefill, TMin: 1, TMax: 8}, {Name: "decode", Role: Decode, TMin: 1, TMax: 1}} {
		rows := GridDim{sym.T, 1}
		if e.Name == "decode" {
			rows.N = sym.Const(1)
		}
		one := GridDim{sym.Const(1), 1}
		e.Steps = []Step{
			{Dispatch: &Dispatch{
				Kernel: 0, Label: "embed", Nodes: []Node{{"embed", "embedding"}}, Layer: -1, Grid: [3]GridDim{rows, one, one},
				Bind:  []Binding{{0, 0, 128, Read}, {1, 0, 32, Read}, {2, 0, 4096, Read}, {5, 0, 2048, Write}},
				Moved: sym.Poly{T: 4 + 128 + 256},
			}},
			{Barrier: true},
			{Dispatch: &Dispatch{
				Kernel: 1, Label: "layers.0.scale", Nodes: []Node{{"layers.0.scale", "mul"}}, Wave: 1,
				Grid:  [3]GridDim{{sym.T.Scale(64), 128}, one, one},
				Bind:  []Binding{{5, 0, 2048, Read}, {3, 0, 8, Read}, {4, 0, 2048, ReadWrite}, {6, 0, 2048, Write}},
				Moved: sym.Poly{C: 8, T: 512, P: 128}, Flops: sym.Poly{T: 64},
			}},
			{Barrier: true},
			{Dispatch: &Dispatch{
				Kernel: 2, Label: "pick", Nodes: []Node{{"pick", "argmax"}}, Layer: -1, Wave: 2, Grid: [3]GridDim{one, one, one},
				Bind:  []Binding{{6, 0, 2048, Read}, {7, 0, 128, Write}, {8, 0, 4, Write}, {0, 0, 128, ReadWrite}, {1, 0, 32, ReadWrite}},
				Moved: sym.Poly{C: 256 + 128},
			}},
		}
		e.CommandBuffers = []CommandBuffer{{0, 2}, {2, 5}}
		e.Results = []Result{{"logits", 7}, {"token", 8}, {"layers.0.k", 4}}
		p.Entries = append(p.Entries, e)
	}
	require.NoError(t, p.Rehash())
	return p
}

// dispatch returns the n-th dispatch of p's first entry.
func dispatch(p *Plan, n int) *Dispatch {
	for _, s := range p.Entries[0].Steps {
		if s.Dispatch != nil {
			if n == 0 {
				return s.Dispatch
			}
			n--
		}
	}
	panic(fmt.Sprintf("no dispatch %d more", n))
}
