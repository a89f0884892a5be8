package plan

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"foundry/ir/sym"
)

// assembled is a kernel of two stages, and its parts.
func assembled() (*Kernel, *Text, fstest.MapFS) {
	k := &Kernel{Name: "k", Threads: [3]int{32, 4, 2}, Stages: []string{"a/one.metal", "two.metal"},
		Slots:       []Slot{{"step", "Step", "constant", Read}, {"x", "half", "device", Read}, {"y", "float", "device", Write}, {"z", "float4", "device", ReadWrite}},
		Threadgroup: []ThreadgroupArg{{"part", "float", 64}, {"row", "half", 32}}, Builtins: []Builtin{ThreadgroupPosition, LaneIndex}}
	t := &Text{About: "what it does", Stages: []Stage{{"a/one.metal", "void one() {\n}\n"}, {"two.metal", "void two(uint a);\n"}}, Body: "    one();\n    two(1u);\n", Line: 25}
	return k, t, fstest.MapFS{"a/one.metal": {Data: []byte(t.Stages[0].Text)}, "two.metal": {Data: []byte(t.Stages[1].Text)}}
}

const assembledText = `// k: what it does
#include <metal_stdlib>
using namespace metal;
#pragma METAL fp contract(off)

// ---- a/one.metal ----
#line 1 "shaders/a/one.metal"
void one() {
}

// ---- two.metal ----
#line 1 "shaders/two.metal"
void two(uint a);

// ---- kernel ----
#line 17 "kernels/k.metal"
[[max_total_threads_per_threadgroup(256)]] kernel void k(
    constant Step &step [[buffer(0)]],
    device const half *x [[buffer(1)]],
    device float *y [[buffer(2)]],
    device float4 *z [[buffer(3)]],
    threadgroup float *part [[threadgroup(0)]],
    threadgroup half *row [[threadgroup(1)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]])
{
    one();
    two(1u);
}
`

// A kernel's file is what it is joined to, and is cut into the same parts again: lines are
// numbered as they stand there.
func TestJoinAndSplit(t *testing.T) {
	k, text, files := assembled()
	k.Source = text.Join(k)
	require.Equal(t, assembledText, k.Source)
	lines := strings.Split(k.Source, "\n")
	require.Equal(t, `#line 17 "kernels/k.metal"`, lines[15], "of the line behind it")
	got, err := k.Split(files)
	require.NoError(t, err)
	text.Line = got.Line
	require.Equal(t, "    one();", lines[got.Line-1])
	require.Equal(t, text, got)
	require.True(t, text.Declares("one") && text.Declares("two"))
	require.False(t, text.Declares("three") || text.Declares("ne") || text.Declares("a"))

	for want, change := range map[string]func(){
		"line 1 is not the kernel's banner, // k: and what it does":                        func() { k.Source = "\n" + k.Source },
		"lines 2 to 4 are not those that such a kernel has":                                func() { k.Source = strings.Replace(k.Source, "off", "on", 1) },
		"lines 2 to 7 are not those that such a kernel has":                                func() { k.Matrices = 4 },
		`there is no stage file "none"`:                                                    func() { k.Stages[1] = "none" },
		"line 6: the stage file a/one.metal does not stand there as it is in this program": func() { k.Source = strings.Replace(k.Source, "one()", "one(int)", 1) },
		"line 11: the stage file two.metal does not stand there as it is in this program":  func() { k.Source = strings.Replace(k.Source, "two(uint a)", "two()", 1) },
		"line 15: the function's head is another than the plan declares":                   func() { k.Threads[0] = 64 },
		"the text does not end with the function's brace":                                  func() { k.Source += "\n" },
	} {
		k, text, files = assembled()
		k.Source = text.Join(k)
		change()
		_, err := k.Split(files)
		require.EqualError(t, err, want)
	}
}

// Kernels with matrix units say how many simdgroups use them, behind the headers that have
// them.
func TestJoinOfMatrixUnits(t *testing.T) {
	k, text, files := assembled()
	k.Matrices = 8
	k.Source = text.Join(k)
	want := strings.Replace(assembledText, "#include <metal_stdlib>\n", "#include <metal_stdlib>\n#include <metal_tensor>\n#include <MetalPerformancePrimitives/MetalPerformancePrimitives.h>\n", 1)
	want = strings.Replace(want, "contract(off)\n", "contract(off)\nconstant constexpr uint SIMDGROUPS = 8u;\n", 1)
	require.Equal(t, strings.Replace(want, "#line 17", "#line 20", 1), k.Source)
	_, err := k.Split(files)
	require.NoError(t, err)
}

// Kernels of one key have one text but for their name.
func TestKeyOfAText(t *testing.T) {
	k, text, _ := assembled()
	key := text.Key(k)
	k.Name = "other"
	require.Equal(t, key, text.Key(k))
	require.Equal(t, "other", k.Name)
	for what, change := range map[string]func(k *Kernel, x *Text){
		"about": func(_ *Kernel, x *Text) { x.About = "other" }, "body": func(_ *Kernel, x *Text) { x.Body = "" },
		"stages": func(k *Kernel, _ *Text) { k.Stages = k.Stages[:1] }, "matrix units": func(k *Kernel, _ *Text) { k.Matrices = 4 },
		"threads": func(k *Kernel, _ *Text) { k.Threads[1] = 2 }, "a slot": func(k *Kernel, _ *Text) { k.Slots[2].Access = Read },
		"memory": func(k *Kernel, _ *Text) { k.Threadgroup = k.Threadgroup[:1] }, "a built-in": func(k *Kernel, _ *Text) { k.Builtins = k.Builtins[:1] },
	} {
		k, text, _ := assembled()
		change(k, text)
		require.NotEqual(t, key, text.Key(k), what)
	}
}

// Entries that run the same have one digest, whatever they are called.
func TestDigest(t *testing.T) {
	base := sample(t)
	want := base.Digests()
	require.Equal(t, []string{base.Digest(&base.Entries[0]), base.Digest(&base.Entries[1])}, want)
	require.NotEqual(t, want[0], want[1])
	for what, c := range map[string]struct {
		same   bool
		change func(p *Plan)
	}{
		"labels": {true, func(p *Plan) { dispatch(p, 0).Label, dispatch(p, 0).Nodes, dispatch(p, 0).Layer = "x", nil, 7 }},
		"moved":  {true, func(p *Plan) { dispatch(p, 0).Moved, dispatch(p, 0).Flops = sym.Poly{}, sym.Poly{C: 9} }},
		"a kernel's name": {true, func(p *Plan) {
			k := &p.Kernels[1]
			k.Source = strings.ReplaceAll(k.Source, k.Name, "other")
			k.Name = "other"
		}},
		"command buffers":    {true, func(p *Plan) { p.Entries[0].CommandBuffers = p.Entries[0].CommandBuffers[:1] }},
		"a transient's name": {true, func(p *Plan) { p.Buffers[5].Name = "other" }},
		"an offset of an arena": {true, func(p *Plan) {
			p.Buffers[6].Offset -= 64
			for i := range 2 {
				b := &dispatch(p, 1+i).Bind[[2]int{3, 0}[i]]
				b.Offset += 64
			}
		}},
		"a kernel's text":      {false, func(p *Plan) { p.Kernels[1].Source += " " }},
		"which kernel":         {false, func(p *Plan) { dispatch(p, 1).Kernel = 2 }},
		"a grid":               {false, func(p *Plan) { dispatch(p, 1).Grid[0].Div = 64 }},
		"a barrier less":       {false, func(p *Plan) { p.Entries[0].Steps = slices.Delete(p.Entries[0].Steps, 1, 2) }},
		"a place in the arena": {false, func(p *Plan) { p.Buffers[6].Offset += 256 }},
		"bytes in the arena":   {false, func(p *Plan) { dispatch(p, 1).Bind[0].Bytes-- }},
		"an offset":            {false, func(p *Plan) { dispatch(p, 1).Bind[1].Offset = 4 }},
		"bytes":                {false, func(p *Plan) { dispatch(p, 1).Bind[1].Bytes = 4 }},
		"another buffer":       {false, func(p *Plan) { dispatch(p, 1).Bind[1].Buffer = 2 }},
		"places of ranges":     {true, func(p *Plan) { p.Buffers[2].Class = Prepared; dispatch(p, 0).Bind[2].Offset = 8 }},
	} {
		p := sample(t)
		if what == "places of ranges" { // against the same without the offset
			q := sample(t)
			q.Buffers[2].Class = Prepared
			want = q.Digests()
		} else {
			want = base.Digests()
		}
		c.change(p)
		got := p.Digest(&p.Entries[0])
		require.Equal(t, c.same, got == want[0], what)
	}
}

// Decisions that differ in their layer are one line; gaps between layers show.
func TestExplain(t *testing.T) {
	var ds []Decision
	add := func(pass, node, outcome, reason string, layers ...int) {
		for _, l := range layers {
			ds = append(ds, Decision{Pass: pass, Pattern: "p", Node: strings.ReplaceAll(node, "N", string(rune('0'+max(l, 0)))), Layer: l, Outcome: outcome, Reason: reason})
		}
	}
	add("fuse-a", "layers.N.qkv", Matched, "3 nodes", 2, 0, 1)
	add("fuse-a", "layers.N.qkv", Refused, "4 nodes", 4, 7)
	add("fuse-b", "final_norm", Taken, "why", -1)
	add("fuse-b", "layers.N.out", NoSite, "none", 3)
	var b strings.Builder
	require.NoError(t, Explain(&b, ds))
	require.Equal(t, `fuse-a
  matched        3 x layers.0-2.qkv   3 nodes
  refused        2 x layers.4..7.qkv  4 nodes
fuse-b
  taken          1 x final_norm       why
  no site        1 x layers.3.out     none
`, b.String())
	groups := Groups(ds)
	require.Equal(t, []int{2, 0, 1}, groups[0].Layers)
	require.Equal(t, []int{3, 2, 1, 1}, []int{groups[0].Count, groups[1].Count, groups[2].Count, groups[3].Count})
}

// A run takes the entry of its role that reaches as far as it must and no farther.
func TestEntryAt(t *testing.T) {
	p := &Plan{Entries: []Entry{{Role: Prefill}, {Role: Decode, PMax: 20}, {Role: Decode}, {Role: Decode, PMax: 5}, {Role: Decode, PMax: 40}}}
	require.Equal(t, []int{0, 2, -1}, []int{p.EntryFor(Prefill), p.EntryFor(Decode), p.EntryFor(Sample)})
	for past, want := range map[int64]int{0: 3, 5: 3, 6: 1, 20: 1, 21: 4, 40: 4, 41: 2} {
		require.Equal(t, want, p.EntryAt(Decode, past), "%d", past)
	}
	require.Equal(t, 0, p.EntryAt(Prefill, 3))
	require.Equal(t, -1, p.EntryAt(Sample, 3))
	short := &Plan{Entries: []Entry{{Role: Decode, PMax: 7}}} // which no checked plan is
	require.Equal(t, []int{0, 0, -1}, []int{short.EntryAt(Decode, 0), short.EntryAt(Decode, 7), short.EntryAt(Decode, 8)})
}

// An entry's part of the arena ends where its last transient does.
func TestEntryArena(t *testing.T) {
	p := sample(t)
	require.EqualValues(t, 4096, p.EntryArena(&p.Entries[0]))
	p.Entries[1].Steps = p.Entries[1].Steps[:1]
	require.EqualValues(t, 2048, p.EntryArena(&p.Entries[1]))
	p.Entries[1].Steps = nil
	require.Zero(t, p.EntryArena(&p.Entries[1]))
	b, err := p.ResultBuffer("decode", "token")
	require.NoError(t, err)
	require.Equal(t, "token", b.Name)
	_, err = p.ResultBuffer("decode", "tokens")
	require.EqualError(t, err, `entry decode has no result "tokens"`)
	_, err = p.ResultBuffer("decod", "token")
	require.Error(t, err)
}

// Which components of its position a kernel reads is seen in its function's text, where it
// names the position as lowering does.
func TestLooksAt(t *testing.T) {
	for body, want := range map[string]struct {
		at    string
		known bool
	}{
		"group.x": {"x", true}, "group.y + group.z": {"yz", true}, "group": {"xyz", true}, "f(group);": {"xyz", true}, "group.xz": {"xz", true},
		"groups.x": {"", false}, "a.group.x": {"", false}, "my_group.x": {"", false}, "groupA": {"", false}, "group2": {"", false}, "2group": {"", false}, "Zgroup.y": {"", false}, "zgroup.y": {"", false},
		"group.x groups group.y": {"xy", true}, "": {"", false}, "group.xw_y": {"xy", true}, "group.x.y": {"x", true},
	} {
		k := Kernel{Builtins: []Builtin{ThreadgroupPosition}, Source: "void one(uint3 group) { group.z; }\nkernel void k(uint3 group [[x]])\n{" + body + "}"}
		at, known := k.looksAt(ThreadgroupPosition)
		got := ""
		for i, is := range at {
			if is {
				got += axes[i : i+1]
			}
		}
		require.Equal(t, want.at, got, body)
		require.Equal(t, want.known, known, body)
		at, known = k.looksAt(ThreadPosition)
		require.Equal(t, [3]bool{}, at)
		require.True(t, known, "it does not take that")
	}
}

// Of language versions and capabilities a plan asks for what its kernels need, no more.
func TestNeeds(t *testing.T) {
	p := sample(t)
	require.Equal(t, "3.0", p.MSL)
	p.Needs = []Need{Matmul2D}
	require.ErrorContains(t, p.Verify(), `needs ["matmul2d"], the kernels need []`)
	p.Kernels[0].Matrices = 2
	require.ErrorContains(t, p.Verify(), `msl is "3.0", kernels with matrix units need "4.0"`)
	p.MSL = "4.0"
	require.NoError(t, p.Verify())
	p.Needs = nil
	require.ErrorContains(t, p.Verify(), `needs [], the kernels need ["matmul2d"]`)
	msl, needs := Capabilities(p.Kernels)
	require.Equal(t, "4.0", msl)
	require.Equal(t, []Need{Matmul2D}, needs)
}
