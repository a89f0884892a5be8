package plan

import (
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

func TestSampleIsSound(t *testing.T) { require.NoError(t, sample(t).Check()) }

// Entries for short contexts are of role decode, end before the context, and leave what
// the one leaves that goes on behind them.
func TestVerifyShort(t *testing.T) {
	with := func(edit func(p *Plan, short *Entry)) error {
		p := sample(t)
		e := p.Entries[1]
		e.Name, e.PMax = "decode_8", 7
		e.Steps = slices.Clone(e.Steps)
		p.Entries = append(p.Entries, e)
		edit(p, &p.Entries[2])
		require.NoError(t, p.Rehash())
		return p.Check()
	}
	require.NoError(t, with(func(*Plan, *Entry) {}))
	require.NoError(t, with(func(p *Plan, e *Entry) { e.PMax = 14 }))
	require.NoError(t, with(func(p *Plan, e *Entry) { slices.Reverse(p.Entries) }), "in any order")
	for want, edit := range map[string]func(p *Plan, e *Entry){
		"entry decode_8: p_max 15, want 1 to 14 in a context of 16":                                 func(_ *Plan, e *Entry) { e.PMax = 15 },
		"entry decode_8: p_max -1, want 1 to 14":                                                    func(_ *Plan, e *Entry) { e.PMax = -1 },
		"entry decode_8: role decode, as entry decode has":                                          func(_ *Plan, e *Entry) { e.PMax = 0 },
		"entry prefill: p_max 7, which only entries of role decode and T = 1 have":                  func(p *Plan, _ *Entry) { p.Entries[0].PMax = 7 },
		"entry decode: p_max 9, and no entry of role decode goes on behind it":                      func(p *Plan, e *Entry) { p.Entries[1].PMax = 9 },
		"entry decode_8 writes other states and outputs than entry decode, which goes on behind it": func(p *Plan, e *Entry) { e.Steps[2].Dispatch, e.Results = spare(p, e.Steps[2].Dispatch), e.Results[:2] },
	} {
		require.ErrorContains(t, with(edit), want)
	}
}

// spare is d with the cache that it writes made one of its own kernel's, which it only reads.
func spare(p *Plan, d *Dispatch) *Dispatch {
	k := p.Kernels[d.Kernel]
	k.Name, k.File, k.Source = "read", "", "kernel void read() {}\n"
	k.Slots = slices.Clone(k.Slots)
	k.Slots[2].Access = Read
	out := *d
	out.Kernel, out.Bind = len(p.Kernels), slices.Clone(d.Bind)
	out.Bind[2].Access = Read
	p.Kernels = append(p.Kernels, k)
	return &out
}

// Each row breaks one thing of the sample; the error names the place and both
// sides of the disagreement.
func TestVerifyNames(t *testing.T) {
	many := make([]Slot, 32)
	for name, c := range map[string]struct {
		edit func(*Plan)
		want string
	}{
		"schema":              {func(p *Plan) { p.Schema = 7 }, "schema version 7, want 5"},
		"msl":                 {func(p *Plan) { p.MSL = "new" }, `msl is "new"`},
		"units of others":     {func(p *Plan) { p.Kernels[0].Matrices = 3 }, "3 simdgroups use matrix units together, a threadgroup has"},
		"units, old language": {func(p *Plan) { p.Kernels[0].Matrices, p.Kernels[0].Threads = 4, [3]int{128, 1, 1} }, `msl is "3.0", kernels with matrix units need "4.0"`},
		"units, no need": {func(p *Plan) {
			p.Kernels[0].Matrices, p.Kernels[0].Threads, p.MSL = 4, [3]int{128, 1, 1}, MatrixMSL
		}, `needs [], the kernels need ["matmul2d"]`},
		"a need of nobody":   {func(p *Plan) { p.Needs = []Need{Matmul2D} }, `needs ["matmul2d"], the kernels need []`},
		"chunk":              {func(p *Plan) { p.Model.Chunk = 17 }, "chunk 17 is larger than the context 16"},
		"chunk above T":      {func(p *Plan) { p.Model.Chunk = 9 }, "chunk 9, but no entry runs more than 8 tokens"},
		"context and caches": {func(p *Plan) { p.Model.Context = 1 << 20 }, "buffer layers.0.k: a cache of shape [16 64], the context has 1048576 positions"},
		"cache of one dim":   {func(p *Plan) { p.Buffers[4].Shape = p.Buffers[4].Shape[:1] }, "buffer layers.0.k: a cache of class state and 1 dimensions"},
		"cache in T":         {func(p *Plan) { p.Buffers[4].Shape[0] = sym.S }, "buffer layers.0.k: a cache of shape [S 64], the context has 16 positions"},
		"cache bytes":        {func(p *Plan) { p.Buffers[4].Bytes = 1024 }, "buffer layers.0.k: a cache of shape [16 64] of f16 in 1024 bytes"},
		"cache of a class":   {func(p *Plan) { p.Buffers[5].Cache = true }, "buffer x: a cache of class transient"},
		"history":            {func(p *Plan) { p.Buffers[1].Role = HistoryBuffer }, "buffer ids: 32 bytes for the tokens of a context of 16"},
		"quantise to f16":    {func(p *Plan) { p.Buffers[2].Weight.Kind = "quantise" }, `buffer embed: recipe quantise makes no f16 of tensor "model.embed_tokens.weight"`},
		"quantise to q3_k":   {func(p *Plan) { b := &p.Buffers[2]; b.Weight.Kind, b.DType = "quantise", dtype.Q3_K }, "buffer embed: recipe quantise makes no q3_k"},
		"convert to blocks":  {func(p *Plan) { p.Buffers[2].DType = dtype.Q8_0 }, "buffer embed: recipe convert makes no q8_0"},
		"convert to i32":     {func(p *Plan) { p.Buffers[2].DType = dtype.I32 }, "buffer embed: recipe convert makes no i32"},
		"slot of halves":     {func(p *Plan) { p.Kernels[0].Slots[2].Type = "float" }, "slot table: elements of type float, buffer embed holds f16"},
		"slot of bf16":       {func(p *Plan) { p.Buffers[2].DType = dtype.BF16 }, "slot table: elements of type half, buffer embed holds bf16"},
		"slot of vectors":    {func(p *Plan) { p.Kernels[1].Slots[0].Type = "half4" }, "slot x: elements of type half4, buffer x holds f32"},
		"slot of atomics":    {func(p *Plan) { p.Kernels[2].Slots[0].Type = "atomic_uint" }, "slot y: elements of type atomic_uint, buffer y holds f32"},
		"slot of bytes":      {func(p *Plan) { p.Kernels[0].Slots[2].Type = "uchar" }, "slot table: elements of type uchar, buffer embed holds f16"},
		"step elsewhere":     {func(p *Plan) { dispatch(p, 0).Bind[0] = Binding{4, 0, 128, Read} }, "128 bytes of buffer layers.0.k, want the step's, of which a Step has 128"},
		"context":            {func(p *Plan) { p.Model.Context = 1 << 40 }, "context 1099511627776, at most"},
		"dtype":              {func(p *Plan) { p.Options.Cache = dtype.Invalid }, "no dtype for weights or cache"},
		"no entries":         {func(p *Plan) { p.Entries = nil }, "no entry"},
		"kernel name":        {func(p *Plan) { p.Kernels[0].Name = "a b" }, `name "a b" is not a C identifier`},
		"kernel twice":       {func(p *Plan) { p.Kernels[1].Name, p.Kernels[1].File = "Embed", "" }, "kernel Embed: the name of kernel 0 and of kernel 1"},
		"kernel file":        {func(p *Plan) { p.Kernels[1].File = "x" }, `kernel scale: file is "x", want "kernels/scale.metal"`},
		"slots":              {func(p *Plan) { p.Kernels[1].Slots = many }, "kernel scale: 32 buffer slots, Metal has 31"},
		"slot name":          {func(p *Plan) { p.Kernels[1].Slots[1].Name = "x" }, "slot 1: a second argument named x"},
		"slot type":          {func(p *Plan) { p.Kernels[1].Slots[1].Type = "float *" }, `type "float *"`},
		"slot space":         {func(p *Plan) { p.Kernels[1].Slots[1].Space = "thread" }, `slot factor: space "thread"`},
		"slot access":        {func(p *Plan) { p.Kernels[1].Slots[1].Access = "r" }, `slot factor: access "r"`},
		"constant write":     {func(p *Plan) { p.Kernels[0].Slots[0].Access = Write }, "slot step: access write in constant space"},
		"threadgroup bytes":  {func(p *Plan) { p.Kernels[1].Threadgroup[0].Bytes = 100 }, "argument partial: 100 bytes, want a multiple of 16"},
		"threadgroup sum":    {func(p *Plan) { p.Kernels[1].Threadgroup[0].Bytes = 232448 }, "232704 bytes of threadgroup memory up to argument row, at most 232448"},
		"builtin":            {func(p *Plan) { p.Kernels[1].Builtins[0] = "thread" }, `unknown built-in "thread"`},
		"builtin twice":      {func(p *Plan) { p.Kernels[0].Builtins[1] = ThreadgroupPosition }, "twice"},
		"threads":            {func(p *Plan) { p.Kernels[1].Threads = [3]int{64, 32, 1} }, "2048 threads a threadgroup, at most 1024"},
		"no threads":         {func(p *Plan) { p.Kernels[1].Threads[2] = 0 }, "want 1 to 1024"},
		"buffer twice":       {func(p *Plan) { p.Buffers[5].Name = "y" }, "buffer y: a second one"},
		"buffer bytes":       {func(p *Plan) { p.Buffers[5].Bytes = 0 }, "buffer x: 0 bytes"},
		"class":              {func(p *Plan) { p.Buffers[5].Class = "heap" }, `buffer x: unknown class "heap"`},
		"class of two lines": {func(p *Plan) { p.Buffers[3].Class = "constant\n" }, `buffer factor: unknown class "constant\n"`},
		"name of two lines":  {func(p *Plan) { p.Buffers[3].Name = "a\nb" }, `buffer 3: name "a\nb", want printable characters`},
		"entry of two lines": {func(p *Plan) { p.Entries[1].Name = "a\nb" }, `entry 1: name "a\nb" is empty, not printable`},
		"result in two":      {func(p *Plan) { p.Entries[0].Results[0].Name = "a\nb" }, `result name "a\nb" is empty, not printable`},
		"offset":             {func(p *Plan) { p.Buffers[4].Offset = 256 }, "layers.0.k: class state at offset 256"},
		"recipe":             {func(p *Plan) { p.Buffers[2].Weight = nil }, "buffer embed: class weight, and weight recipe present: false"},
		"recipe kind":        {func(p *Plan) { p.Buffers[2].Weight.Kind = "zip" }, `recipe "zip" of tensor "model.embed_tokens.weight"`},
		"constant values":    {func(p *Plan) { p.Buffers[3].Values = nil }, "buffer factor: class constant with 0 values"},
		"constant bytes":     {func(p *Plan) { p.Buffers[3].DType = dtype.F16 }, "8 bytes for 2 values of f16, want 4"},
		"arena align":        {func(p *Plan) { p.Buffers[6].Offset = 2000 }, "buffer y: arena offset 2000, want a multiple of 256"},
		"arena end":          {func(p *Plan) { p.ArenaBytes = 3840 }, "buffer y: arena bytes 2048 to 4096, the arena has 3840"},
		"role":               {func(p *Plan) { p.Buffers[8].Role = "tok" }, `buffer token: unknown role "tok"`},
		"role twice":         {func(p *Plan) { p.Buffers[8].Role = LogitsBuffer }, `buffer token: role "logits", as buffer logits has`},
		"role class":         {func(p *Plan) { p.Buffers[8].Role = NoRole; p.Buffers[4].Role = TokenBuffer }, "role \"token\" of f16 of class state, want i32 of class output"},
		"shape":              {func(p *Plan) { p.Buffers[5].Shape[1] = sym.Const(65) }, "buffer x: shape [T 65] of f32 needs 2080 bytes at T=8 P=0, the buffer has 2048"},
		"shape in S":         {func(p *Plan) { p.Buffers[5].Shape = []sym.Dim{sym.S, sym.Const(64)} }, "needs 4096 bytes at T=1 P=15"},
		"negative shape":     {func(p *Plan) { p.Buffers[5].Shape = []sym.Dim{sym.Const(-1)} }, "makes no sense"},
		"huge shape":         {func(p *Plan) { p.Buffers[5].Shape = []sym.Dim{sym.Const(1 << 40), sym.Const(1 << 40)} }, "makes no sense"},
		"entry twice":        {func(p *Plan) { p.Entries[1].Name = "prefill" }, `name "prefill" is empty, not printable or a second one`},
		"T":                  {func(p *Plan) { p.Entries[0].TMax = 17 }, "entry prefill: T from 1 to 17, want 1 to at most 16"},
		"command buffer gap": {func(p *Plan) { p.Entries[0].CommandBuffers[1].First = 3 }, "command buffer 1 is steps 3 to 5, want from 2 on"},
		"command buffer end": {func(p *Plan) { p.Entries[0].CommandBuffers[1].Last = 4 }, "hold 4 of 5 steps"},
		"empty step":         {func(p *Plan) { p.Entries[0].Steps[1].Barrier = false }, "step 1 is not one of barrier and dispatch"},
		"wave":               {func(p *Plan) { dispatch(p, 2).Wave = 1 }, `dispatch "pick": wave 1, but 2 barriers`},
		"kernel index":       {func(p *Plan) { dispatch(p, 1).Kernel = -1 }, "kernel -1 of 3"},
		"layer":              {func(p *Plan) { dispatch(p, 1).Layer = 1 }, "layer 1 of 1"},
		"grid div":           {func(p *Plan) { dispatch(p, 1).Grid[2].Div = 0 }, "grid axis 2 divides by 0"},
		"grid zero":          {func(p *Plan) { dispatch(p, 1).Grid[0].N = sym.T.Sub(sym.Const(1)) }, "grid axis 0, ceil((T-1) / 128), at T=1 P=0"},
		"grid in P":          {func(p *Plan) { dispatch(p, 1).Grid[0].N = sym.Const(16).Sub(sym.S) }, "at T=1 P=15"},
		"grid huge":          {func(p *Plan) { dispatch(p, 1).Grid[0] = GridDim{sym.Const(1 << 40), 1} }, "want 1 to 2147483647"},
		"label":              {func(p *Plan) { dispatch(p, 1).Label = "" }, "no label"},
		"moved":              {func(p *Plan) { dispatch(p, 1).Moved.C = -1e6 }, "negative bytes"},
		"binding count":      {func(p *Plan) { dispatch(p, 1).Bind = dispatch(p, 1).Bind[:3] }, "3 bindings, kernel scale has 4 slots"},
		"binding buffer":     {func(p *Plan) { dispatch(p, 1).Bind[1].Buffer = 99 }, "slot factor: buffer 99 of 9"},
		"binding bytes":      {func(p *Plan) { dispatch(p, 1).Bind[1].Bytes = 12 }, "slot factor: 12 bytes at 0, buffer factor has 8"},
		"binding overflow":   {func(p *Plan) { dispatch(p, 1).Bind[1].Offset = 1<<63 - 4 }, "buffer factor has 8"},
		"binding access":     {func(p *Plan) { dispatch(p, 1).Bind[1].Access = Write }, `slot factor: access "write", the slot has read`},
		"write of weight":    {func(p *Plan) { dispatch(p, 1).Bind[3] = Binding{2, 0, 2048, Write} }, "slot y: writes the weight embed"},
		"alignment":          {func(p *Plan) { dispatch(p, 1).Bind[3] = Binding{6, 4, 2044, Write} }, "slot y: offset 4 of buffer y, want a multiple of 16 for device float4"},
		"step bytes":         {func(p *Plan) { dispatch(p, 0).Bind[0].Bytes = 64 }, "64 bytes of buffer step, want the step's, of which a Step has 128"},
		"read unwritten":     {func(p *Plan) { dispatch(p, 0).Bind[3].Bytes = 1024 }, "slot x reads byte 1024 of x before it is written"},
		"read output":        {func(p *Plan) { p.Kernels[0].Slots[2].Type = "float"; dispatch(p, 0).Bind[2] = Binding{7, 0, 128, Read} }, "slot table reads byte 0 of logits before it is written"},
		"overwritten":        {func(p *Plan) { p.Buffers[6].Offset = 1024; dispatch(p, 2).Bind[0] = Binding{5, 0, 2048, Read} }, "slot y reads byte 1024 of x, which y has overwritten in the arena"},
		"advanced": {func(p *Plan) {
			s := &p.Kernels[0].Slots[0]
			s.Space, s.Access, dispatch(p, 0).Bind[0].Access = "device", ReadWrite, ReadWrite
			p.Entries[1].Steps[0].Dispatch.Bind[0].Access = ReadWrite
		}, `dispatch "pick": slot step looks at T, P and S of the step behind dispatch "embed", which advances them`},
		"result":       {func(p *Plan) { p.Entries[0].Results[0].Buffer = 9 }, "result logits: buffer 9 of 9"},
		"result class": {func(p *Plan) { p.Entries[0].Results[0].Buffer = 5 }, "buffer x is of class transient"},
		"result unwritten": {func(p *Plan) {
			p.Buffers = append(p.Buffers, Buffer{Name: "spare", Class: State, Bytes: 4, DType: dtype.F32, Shape: []sym.Dim{}})
			p.Entries[0].Results[0].Buffer = 9
		}, "result logits: no dispatch writes buffer spare"},
		"output unwritten": {func(p *Plan) {
			p.Buffers = append(p.Buffers, Buffer{Name: "spare", Class: Output, Bytes: 4, DType: dtype.F32, Shape: []sym.Dim{}})
		}, "output spare: no entry writes it"},
		"result twice": {func(p *Plan) { p.Entries[0].Results[0].Buffer = 8 }, "result token: buffer token holds result logits"},
		"no result":    {func(p *Plan) { p.Entries[1].Results = p.Entries[1].Results[:2] }, "entry decode: no result is in the state layers.0.k, which a dispatch writes"},
		"tensor twice": {func(p *Plan) { b := p.Buffers[2]; b.Name = "again"; p.Buffers = append(p.Buffers, b) }, `buffer again: tensor "model.embed_tokens.weight" as f16, as buffer embed has`},
		"arena":        {func(p *Plan) { p.ArenaBytes = 4095 }, "the arena has 4095 bytes, want a multiple of 256"},
		"no decode":    {func(p *Plan) { p.Entries = p.Entries[:1] }, "no entry of role decode, in a plan of a language model"},
		"no prefill":   {func(p *Plan) { p.Entries[0].Role = Sample }, "no entry of role prefill, in a plan of a language model"},
		"sample of two": {func(p *Plan) {
			e := p.Entries[1]
			e.Name, e.Role, e.TMax = "draw", Sample, 2
			p.Entries = append(p.Entries, e)
		}, "entry draw: T from 1 to 2, want 1"},
		"groups of no position": {func(p *Plan) { dispatch(p, 2).Grid[0].N = sym.Const(2) }, "2 threadgroups on axis x at T=1 P=0, whose position kernel pick does not look at"},
		"groups unseen": {func(p *Plan) {
			p.Kernels[0].Source = "kernel void embed() { use(group.x, regroup.y, a.group); }\n"
			dispatch(p, 0).Grid[1].N = sym.Const(3)
		}, "3 threadgroups on axis y at T=1 P=0, whose position kernel embed does not look at"},
		"threads unseen": {func(p *Plan) {
			p.Kernels[1].Source, p.Kernels[1].Builtins = "kernel void scale_it() { use(position.xz); }\n", []Builtin{ThreadPosition}
		}, "kernel scale has 4 threads on axis y, whose position it does not look at"},
		"no role":       {func(p *Plan) { p.Entries[0].Role, p.Model.Chunk = "", 1 }, "entry prefill: no role, in a plan of a language model"},
		"no logits":     {func(p *Plan) { p.Buffers[7].Role = NoRole }, "no buffer of role logits, in a plan of a language model"},
		"no vocabulary": {func(p *Plan) { p.Model.Vocab = 0 }, "a language model with a vocabulary of 0 tokens"},
		"width":         {func(p *Plan) { p.Model.Hidden = 65 }, "no weight of shape [32 65], which the table of 32 tokens of width 65 has"},
		"layers":        {func(p *Plan) { p.Model.Layers = 2 }, "entry prefill: the model has 2 layers, the last dispatch of a layer is of layer 0"},
		"state of nothing": {func(p *Plan) {
			p.Buffers = append(p.Buffers, Buffer{Name: "spare", Class: State, Bytes: 4, DType: dtype.F32, Shape: []sym.Dim{}})
		}, "buffer spare: a state without a role and no cache, as layers.0.k is"},
		"all logits":     {func(p *Plan) { p.Options.AllLogits = true }, "buffer logits of shape [32] has 1 rows of a chunk's logits, want 8"},
		"text twice":     {func(p *Plan) { p.Tokens.Special[1].Text = "<|end|>" }, `the special token 3 has the text "<|end|>", which is empty or another's`},
		"special beyond": {func(p *Plan) { p.Tokens.Special[1].ID = 32 }, `the special token "<|turn|>" has the id 32 of a vocabulary of 32`},
		"end twice":      {func(p *Plan) { p.Tokens.Ends[0] = 1 }, "the end token 1 stands twice or is beyond a vocabulary of 32"},
		"end beyond":     {func(p *Plan) { p.Tokens.Ends[0] = 32 }, "the end token 32 stands twice or is beyond a vocabulary of 32"},
	} {
		t.Run(name, func(t *testing.T) {
			p := sample(t)
			c.edit(p)
			require.ErrorContains(t, p.Verify(), c.want)
		})
	}
}

// A kernel that hands on a whole position, or does not name it as lowering does, may look
// at all of it; threads that know their number need no position.
func TestPositionsLookedAt(t *testing.T) {
	for text, want := range map[string]string{
		"kernel void embed() { use(group); }": "", "kernel void embed() { use(mine); }": "",
		"group.y kernel void embed(uint3 group) { use(group.x); }": "3 threadgroups on axis y",
		"kernel void embed() { use(group.xy); }":                   "",
	} {
		p := sample(t)
		p.Kernels[0].Source = text
		dispatch(p, 0).Grid[1].N = sym.Const(3)
		if want == "" {
			require.NoError(t, p.Verify(), text)
		} else {
			require.ErrorContains(t, p.Verify(), want, text)
		}
	}
	p := sample(t)
	p.Kernels[1].Source = "kernel void scale_it() { use(position.x, lane); }\n"
	require.NoError(t, p.Verify(), "threads of axis y have numbers")
}

// No size of the model is below zero, whichever it is.
func TestNegativeSizes(t *testing.T) {
	for _, size := range []func(*Model) *int{
		func(m *Model) *int { return &m.Layers }, func(m *Model) *int { return &m.Hidden }, func(m *Model) *int { return &m.Vocab },
		func(m *Model) *int { return &m.Context }, func(m *Model) *int { return &m.Chunk },
	} {
		p := sample(t)
		*size(&p.Model) = -1
		require.ErrorContains(t, p.Verify(), `model "toy" has a negative size`)
	}
}

// The beginning of the step is three words, and no fewer are bound for it.
func TestPositionIsThreeWords(t *testing.T) {
	for bytes, want := range map[int64]string{12: "", 8: "8 bytes of buffer step, want the step's, of which a Position has 12"} {
		p := sample(t)
		p.Kernels[0].Slots[0].Type = "Position"
		for i := range p.Entries {
			p.Entries[i].Steps[0].Dispatch.Bind[0].Bytes = bytes
		}
		if want == "" {
			require.NoError(t, p.Verify())
		} else {
			require.ErrorContains(t, p.Verify(), want)
		}
	}
}

// ranges against an array with one owner a byte.
func TestRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 40
		var owner [size]int
		for i := range owner {
			owner[i] = -1
		}
		cuts := make([]int64, size+1)
		for i := range cuts {
			cuts[i] = int64(i)
		}
		r := ranges{arenaSpace: newSegmentTree(cuts)}
		for range rapid.IntRange(0, 20).Draw(t, "sets") {
			lo := rapid.IntRange(0, size-1).Draw(t, "lo")
			hi := rapid.IntRange(lo+1, size).Draw(t, "hi")
			buffer := rapid.IntRange(0, 2).Draw(t, "buffer")
			r.set(arenaSpace, int64(lo), int64(hi), buffer)
			for i := lo; i < hi; i++ {
				owner[i] = buffer
			}
		}
		lo := rapid.IntRange(0, size-1).Draw(t, "lo")
		hi := rapid.IntRange(lo+1, size).Draw(t, "hi")
		wantAt, wantOwner := int64(-1), -1
		for i := lo; i < hi; i++ {
			if owner[i] != 1 {
				wantAt, wantOwner = int64(i), owner[i]
				break
			}
		}
		at, by := r.missing(arenaSpace, int64(lo), int64(hi), 1)
		require.Equal(t, wantAt, at)
		require.Equal(t, wantOwner, by)
	})
}

// Whatever numbers and words of a plan are replaced by others: an error or a plan
// that can be measured, never a panic. Every single replacement is tried, pairs and
// triples of them as drawn.
func TestChecksNeverPanic(t *testing.T) {
	text, err := encode(sample(t))
	require.NoError(t, err)
	token := regexp.MustCompile(`-?[0-9]+|"[^"]*"|true|null`)
	values := []string{"0", "-1", "1", "3", "256", "9223372036854775807", "-9223372036854775808",
		`"T"`, `"S"`, `"281474976710655"`, `"-1000000*T"`, `"state"`, `"transient"`, `"read"`, `"readwrite"`, "true", "null"}
	replace := func(text []byte, at []int, by string) []byte {
		return slices.Concat(text[:at[0]], []byte(by), text[at[1]:])
	}
	sound := func(text []byte) bool {
		p, err := decode(text, "bundle")
		if err != nil {
			return false
		}
		for i := range p.Kernels {
			p.Kernels[i].Source = "kernel"
		}
		if p.Check() != nil {
			return false
		}
		for i := range p.Entries {
			p.Stats(&p.Entries[i], p.corners(&p.Entries[i])[0])
		}
		return true
	}
	passed, refused := 0, 0
	for _, at := range token.FindAllIndex(text, -1) {
		for _, by := range values {
			if sound(replace(text, at, by)) {
				passed++
			} else {
				refused++
			}
		}
	}
	require.NotZero(t, passed)
	require.Greater(t, refused, passed)
	rapid.Check(t, func(t *rapid.T) {
		edited := text
		for range rapid.IntRange(2, 3).Draw(t, "edits") {
			places := token.FindAllIndex(edited, -1)
			edited = replace(edited, places[rapid.IntRange(0, len(places)-1).Draw(t, "place")], rapid.SampledFrom(values).Draw(t, "by"))
		}
		sound(edited)
	})
}
