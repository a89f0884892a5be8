package plan

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/sym"
)

// A kernel may have as much as Metal's table of features says, and no more: 31 buffers,
// 1,024 threads; of threadgroup memory what an H100 has, 227 KiB. Names are as long as file
// systems take them, texts at most 4 MiB.
func TestLimitsOfKernels(t *testing.T) {
	slots := func(n int) []Slot {
		out := make([]Slot, n)
		for i := range out {
			out[i] = Slot{fmt.Sprint("s", i), "float", "device", Read}
		}
		return out
	}
	memory := func(bytes ...int) (out []ThreadgroupArg) {
		for i, n := range bytes {
			out = append(out, ThreadgroupArg{fmt.Sprint("m", i), "float", n})
		}
		return out
	}
	const most = 227 * 1024
	for name, c := range map[string]struct {
		most, beyond func(k *Kernel)
		want         string
	}{
		"slots":          {func(k *Kernel) { k.Slots = slots(31) }, func(k *Kernel) { k.Slots = slots(32) }, "32 buffer slots, Metal has 31"},
		"threads":        {func(k *Kernel) { k.Threads = [3]int{1024, 1, 1} }, func(k *Kernel) { k.Threads = [3]int{1025, 1, 1} }, "threads [1025 1 1], want 1 to 1024"},
		"threads in all": {func(k *Kernel) { k.Threads = [3]int{64, 16, 1} }, func(k *Kernel) { k.Threads = [3]int{41, 5, 5} }, "1025 threads a threadgroup, at most 1024"},
		"no threads":     {func(k *Kernel) { k.Threads = [3]int{1, 1, 1} }, func(k *Kernel) { k.Threads = [3]int{1, 1, 0} }, "threads [1 1 0], want 1 to 1024"},
		"memory":         {func(k *Kernel) { k.Threadgroup = memory(most) }, func(k *Kernel) { k.Threadgroup = memory(most + 16) }, "232464 bytes, want a multiple of 16 up to 232448"},
		"memory in all":  {func(k *Kernel) { k.Threadgroup = memory(most-16, 16) }, func(k *Kernel) { k.Threadgroup = memory(most-16, 32) }, "232464 bytes of threadgroup memory up to argument m1, at most 232448"},
		"no memory":      {func(k *Kernel) { k.Threadgroup = memory(16) }, func(k *Kernel) { k.Threadgroup = memory(0) }, "0 bytes, want a multiple of 16"},
		"memory below 0": {func(k *Kernel) { k.Threadgroup = memory(32) }, func(k *Kernel) { k.Threadgroup = memory(-16) }, "-16 bytes, want a multiple of 16"},
		"odd memory":     {func(k *Kernel) { k.Threadgroup = memory(48) }, func(k *Kernel) { k.Threadgroup = memory(40) }, "40 bytes, want a multiple of 16"},
		"matrix units":   {func(k *Kernel) { k.Matrices, k.Threads = 4, [3]int{32, 4, 1} }, func(k *Kernel) { k.Matrices, k.Threads = 3, [3]int{32, 4, 1} }, "3 simdgroups use matrix units together, a threadgroup has 128 threads"},
		"text":           {func(k *Kernel) { k.Source = strings.Repeat("x", 4<<20) }, func(k *Kernel) { k.Source = strings.Repeat("x", 4<<20+1) }, "4194305 bytes of source, at most 4194304"},
		"stage twice":    {func(k *Kernel) { k.Stages = []string{"a", "b"} }, func(k *Kernel) { k.Stages = []string{"a", "b", "a"} }, `stage 2: "a" is no path or stands twice`},
		"stage":          {func(k *Kernel) { k.Stages = []string{"a/b"} }, func(k *Kernel) { k.Stages = []string{"../a"} }, `stage 0: "../a" is no path or stands twice`},
		"built-in twice": {func(k *Kernel) { k.Builtins = []Builtin{LaneIndex, ThreadIndex} }, func(k *Kernel) { k.Builtins = []Builtin{LaneIndex, ThreadIndex, LaneIndex} }, "built-in thread_index_in_simdgroup twice"},
		"names":          {func(k *Kernel) { k.Slots, k.Threadgroup = slots(1), memory(16) }, func(k *Kernel) { k.Slots, k.Threadgroup = slots(1), []ThreadgroupArg{{"s0", "float", 16}} }, "threadgroup argument 0: a second argument named s0"},
	} {
		k := Kernel{Name: "k", Source: "kernel", Threads: [3]int{32, 1, 1}}
		c.most(&k)
		require.NoError(t, k.verify(), name)
		c.beyond(&k)
		require.ErrorContains(t, k.verify(), c.want, name)
	}
	require.True(t, identifier(strings.Repeat("k", 200)))
	require.False(t, identifier(strings.Repeat("k", 201)))
}

// Every limit of a plan is reached by one that passes, and by no other.
func TestLimitsOfPlans(t *testing.T) {
	const tokens = 1 << 30 // where T and P of 32 bits and their sum are far from their ends
	for name, c := range map[string]struct {
		most, beyond func(p *Plan)
		want         string
	}{
		"context":          {func(p *Plan) { p.Model.Context = tokens }, func(p *Plan) { p.Model.Context++ }, "context 1073741825, at most 1073741824"},
		"tokens":           {func(p *Plan) { p.Entries[0].TMax = 16 }, func(p *Plan) { p.Entries[0].TMax = 17 }, "T from 1 to 17, want 1 to at most 16"},
		"tokens of graphs": {func(p *Plan) { p.Model = Model{}; p.Entries[0].TMax = tokens }, func(p *Plan) { p.Entries[0].TMax++ }, "T from 1 to 1073741825, want 1 to at most 1073741824"},
		"one token":        {func(p *Plan) { p.Entries[1].TMin = 1 }, func(p *Plan) { p.Entries[1].TMin = 0 }, "T from 0 to 1, want 1"},
		"no token":         {func(p *Plan) { p.Entries[0].TMin = 8 }, func(p *Plan) { p.Entries[0].TMin = 9 }, "T from 9 to 8, want 1"},
		"chunk":            {func(p *Plan) { p.Model.Chunk = 8 }, func(p *Plan) { p.Model.Chunk = 9 }, "chunk 9, but no entry runs more than 8 tokens"},
		"chunk of all":     {func(p *Plan) { p.Model.Chunk, p.Entries[0].TMax = 16, 16 }, func(p *Plan) { p.Model.Chunk = 17 }, "chunk 17 is larger than the context 16"},
		"arena":            {func(p *Plan) { p.ArenaBytes = 256 }, func(p *Plan) { p.ArenaBytes = 128 }, "the arena has 128 bytes, want a multiple of 256"},
		"arena below 0":    {func(p *Plan) { p.ArenaBytes = 0 }, func(p *Plan) { p.ArenaBytes = -256 }, "the arena has -256 bytes"},
		"command buffers":  {func(p *Plan) { p.Options.CommandBuffers = 0 }, func(p *Plan) { p.Options.CommandBuffers = -1 }, "options ask for -1 command buffers"},
		"chain":            {func(p *Plan) { p.Entries[1].Chain = 64 }, func(p *Plan) { p.Entries[1].Chain = 65 }, "chains of 65 runs, want 0 to 64 of decode"},
		"end":              {func(p *Plan) { p.Tokens.Ends[0] = 0 }, func(p *Plan) { p.Tokens.Ends[0] = -1 }, "the end token -1 is no id"},
		"special":          {func(p *Plan) { p.Tokens.Special[0].ID = 0 }, func(p *Plan) { p.Tokens.Special[0].ID = -1 }, "has the id -1; want them in order"},
		"special twice":    {func(p *Plan) { p.Tokens.Special[1].ID = 2 }, func(p *Plan) { p.Tokens.Special[1].ID = 1 }, "has the id 1; want them in order"},
		"template":         {func(p *Plan) { p.Tokens.Template.Text = "" }, func(p *Plan) { p.Tokens.Template.Tools = "" }, "a chat template without a text"},
	} {
		p := sample(t)
		p.Entries[0].Role, p.Entries[1].Role = "", Decode // by the header alone
		c.most(p)
		require.NoError(t, p.verifyHeader(), name)
		c.beyond(p)
		require.ErrorContains(t, p.verifyHeader(), c.want, name)
	}
}

// A grid has at most 2^31 - 1 threadgroups an axis, the layers of a model are its own, and a
// binding of constant space begins at multiples of 256 bytes (Metal Feature Set Tables).
func TestLimitsOfDispatches(t *testing.T) {
	for name, c := range map[string]struct {
		most, beyond func(p *Plan, d *Dispatch)
		want         string
	}{
		"grid":          {func(_ *Plan, d *Dispatch) { d.Grid[0] = GridDim{sym.Const(1<<31 - 1), 1} }, func(_ *Plan, d *Dispatch) { d.Grid[0] = GridDim{sym.Const(1 << 31), 1} }, "want 1 to 2147483647 threadgroups"},
		"divided grid":  {func(_ *Plan, d *Dispatch) { d.Grid[0] = GridDim{sym.Const(2 * (1<<31 - 1)), 2} }, func(_ *Plan, d *Dispatch) { d.Grid[0] = GridDim{sym.Const(2*(1<<31-1) + 1), 2} }, "want 1 to 2147483647 threadgroups"},
		"no grid":       {func(_ *Plan, d *Dispatch) { d.Grid[1] = GridDim{sym.Const(1), 5} }, func(_ *Plan, d *Dispatch) { d.Grid[1] = GridDim{sym.Const(0), 5} }, "grid axis 1"},
		"layer":         {func(p *Plan, d *Dispatch) { p.Model.Layers, d.Layer = 3, 2 }, func(p *Plan, d *Dispatch) { d.Layer = 3 }, "layer 3 of 3"},
		"no layer":      {func(_ *Plan, d *Dispatch) { d.Layer = -1 }, func(_ *Plan, d *Dispatch) { d.Layer = -2 }, "layer -2 of 1"},
		"layer of none": {func(p *Plan, d *Dispatch) { p.Model.Layers, d.Layer = 0, 0 }, func(_ *Plan, d *Dispatch) { d.Layer = 1 }, "layer 1 of 0"},
		"moved":         {func(_ *Plan, d *Dispatch) { d.Moved = sym.Poly{} }, func(_ *Plan, d *Dispatch) { d.Moved.C = -1 }, "negative bytes or operations at T=1 P=0"},
		"flops":         {func(_ *Plan, d *Dispatch) { d.Flops = sym.Poly{} }, func(_ *Plan, d *Dispatch) { d.Flops.C = -1 }, "negative bytes or operations at T=1 P=0"},
		"kernel":        {func(_ *Plan, d *Dispatch) { d.Kernel = 1 }, func(_ *Plan, d *Dispatch) { d.Kernel = 3 }, "kernel 3 of 3"},
	} {
		p := sample(t)
		d := dispatch(p, 1)
		corners := p.corners(&p.Entries[0])
		c.most(p, d)
		require.NoError(t, p.verifyDispatch(d, corners), name)
		c.beyond(p, d)
		require.ErrorContains(t, p.verifyDispatch(d, corners), c.want, name)
	}
	p := &Plan{Buffers: []Buffer{{Name: "b", Class: Input, Bytes: 1024, DType: dtype.F32}}}
	for _, c := range []struct {
		offset, bytes int64
		slot          Slot
		want          string
	}{
		{256, 768, Slot{"s", "Own", "constant", Read}, ""},
		{128, 512, Slot{"s", "Own", "constant", Read}, "offset 128 of buffer b, want a multiple of 256 for constant Own"},
		{128, 512, Slot{"s", "float", "constant", Read}, "want a multiple of 256 for constant float"},
		{4, 1020, Slot{"s", "float", "device", Read}, ""},
		{4, 1024, Slot{"s", "float", "device", Read}, "1024 bytes at 4, buffer b has 1024"},
		{0, 1028, Slot{"s", "float", "device", Read}, "1028 bytes at 0, buffer b has 1024"},
		{0, 0, Slot{"s", "float", "device", Read}, "0 bytes at 0, buffer b has 1024"},
		{-4, 4, Slot{"s", "float", "device", Read}, "4 bytes at -4, buffer b has 1024"},
		{0, 6, Slot{"s", "Own", "device", Read}, "6 bytes at 0 of buffer b cut an element of f32"},
		{2, 8, Slot{"s", "Own", "device", Read}, "8 bytes at 2 of buffer b cut an element of f32"},
	} {
		err := p.verifyBinding(&Binding{0, c.offset, c.bytes, Read}, &c.slot)
		if c.want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, c.want)
		}
	}
}

// The elements of a buffer are at most 2^48, in whole blocks, each row of a matrix.
func TestLimitsOfShapes(t *testing.T) {
	for _, c := range []struct {
		d     dtype.Type
		shape []int64
		bytes int64
		ok    bool
	}{
		{dtype.F32, []int64{1 << 48}, 1 << 50, true}, {dtype.F32, []int64{1<<48 + 1}, 0, false}, {dtype.F32, []int64{0}, 0, true}, {dtype.F32, []int64{-1}, 0, false},
		{dtype.F32, []int64{1 << 24, 1 << 24}, 1 << 50, true}, {dtype.F32, []int64{1 << 24, 1<<24 + 1}, 0, false}, {dtype.F32, []int64{0, 1 << 48}, 0, true},
		{dtype.F32, nil, 4, true}, {dtype.Q8_0, []int64{3, 64}, 3 * 2 * 34, true}, {dtype.Q8_0, []int64{64, 3}, 0, false}, {dtype.Q8_0, []int64{33}, 0, false},
	} {
		b := &Buffer{DType: c.d}
		for _, n := range c.shape {
			b.Shape = append(b.Shape, sym.Const(n))
		}
		bytes, ok := shapeBytes(b, sym.Env{})
		require.Equal(t, c.ok, ok, "%v", c.shape)
		require.Equal(t, c.bytes, bytes, "%v", c.shape)
	}
}

// A plan.json is at most 256 MiB.
func TestLimitOfAPlansText(t *testing.T) {
	dir := saved(t)
	require.NoError(t, os.Truncate(filepath.Join(dir, planFile), 256<<20+1)) // sparse
	_, err := Load(dir)
	require.ErrorContains(t, err, "plan.json is larger than 268 MB, the limit for such a file")
}

// A bundle is for whoever the umask leaves it to, as other folders and files are.
func TestModesOfABundle(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	parent := filepath.Join(t.TempDir(), "new")
	dir := filepath.Join(parent, "bundle")
	require.NoError(t, sample(t).Save(dir))
	for path, want := range map[string]os.FileMode{
		parent: 0o777, dir: 0o777, filepath.Join(dir, kernelsDir): 0o777,
		filepath.Join(dir, planFile): 0o666, filepath.Join(dir, "kernels", "embed.metal"): 0o666,
	} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, want, info.Mode().Perm(), path)
	}
}

// Rows in planes are longer than they are stored where their blocks are no multiple of 16
// bytes; others are as they are stored.
func TestStoredBytes(t *testing.T) {
	rows := func(kind string, d dtype.Type, bytes int64) *Buffer {
		return &Buffer{Class: Weight, DType: d, Bytes: bytes, Shape: []sym.Dim{sym.Const(3), sym.Const(32)}, Weight: &WeightRecipe{"t", kind}}
	}
	planes := rows(Planes, dtype.Q4_0, 3*32) // a block of 18 bytes a row
	require.Equal(t, int64(3*18), planes.StoredBytes())
	require.Len(t, planes.Arrange(make([]byte, 3*18)), 3*32)
	bytes, ok := shapeBytes(planes, sym.Env{})
	require.True(t, ok)
	require.Equal(t, planes.Bytes, bytes)
	stored := rows("as_stored", dtype.Q4_0, 3*18)
	require.Equal(t, stored.Bytes, stored.StoredBytes())
	require.Len(t, stored.Arrange(make([]byte, 3*18)), 3*18)
	bytes, ok = shapeBytes(stored, sym.Env{})
	require.True(t, ok)
	require.Equal(t, stored.Bytes, bytes)
	constant := &Buffer{Class: Constant, DType: dtype.F32, Bytes: 8, Shape: []sym.Dim{sym.Const(2)}}
	require.Equal(t, int64(8), constant.StoredBytes())
	require.Len(t, constant.Arrange(make([]byte, 8)), 8)
	empty := rows(Planes, dtype.Q4_0, 1)
	empty.Shape[1] = sym.Const(0)
	require.ErrorContains(t, (&Plan{}).verifyBuffer(empty), "rows of 0 of q4_0 have no planes")
}

// An entry has steps, each in one command buffer.
func TestEveryStepIsInACommandBuffer(t *testing.T) {
	for _, c := range []struct {
		steps   int
		buffers []CommandBuffer
		want    string
	}{
		{3, []CommandBuffer{{0, 3}}, ""}, {3, []CommandBuffer{{0, 1}, {1, 3}}, ""}, {1, []CommandBuffer{{0, 1}}, ""},
		{0, nil, "the command buffers hold 0 of 0 steps"}, {2, nil, "the command buffers hold 0 of 2 steps"}, {2, []CommandBuffer{{0, 1}}, "the command buffers hold 1 of 2 steps"},
		{2, []CommandBuffer{{0, 3}}, "command buffer 0 is steps 0 to 3, want from 0 on, one at least, 2 in all"}, {2, []CommandBuffer{{0, 2}, {2, 2}}, "command buffer 1 is steps 2 to 2, want from 2 on"},
		{2, []CommandBuffer{{1, 2}}, "command buffer 0 is steps 1 to 2, want from 0 on"}, {2, []CommandBuffer{{0, 2}, {1, 2}}, "command buffer 1 is steps 1 to 2, want from 2 on"},
	} {
		err := (&Entry{Steps: make([]Step, c.steps), CommandBuffers: c.buffers}).verifyCommandBuffers()
		if c.want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, c.want)
		}
	}
}

// T, P and S are the step's first three words: behind the dispatch that advances them nobody
// looks at one of them, at what follows anybody may.
func TestPositionEndsBehindS(t *testing.T) {
	for offset, want := range map[int64]string{0: "which advances them", 4: "which advances them", 8: "which advances them", 12: ""} {
		p := sample(t)
		d, advanced := dispatch(p, 2), "before"
		d.Bind[3].Offset, d.Bind[3].Bytes = offset, StepBytes-offset
		err := p.verifyPosition(d, &advanced)
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want)
		}
		advanced = ""
		require.NoError(t, p.verifyPosition(d, &advanced))
		require.Equal(t, map[bool]string{true: "pick", false: ""}[offset < 12], advanced)
	}
}
