package gate_test

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	"foundry/runtime/msl/gate"
	"foundry/shaders"
)

// stages are what the kernel of the tests is assembled from.
var stages = []string{"common/phases.metal", "common/step.metal", "prologue/dequant_f16.metal", "common/load.metal"}

// good is a body that uses what bodies may.
const good = `    const uint T = step.T;
    constexpr uint ROWS = 2u, LANES = 0x20u;
    weight_f16_8::Raw raw[2u * ROWS];
    device const uchar *row[ROWS];
    threadgroup float *const mine = (threadgroup float *)stage + simd * 16u; // the simdgroup's
    if (group.y < 3u) {
        row[0] = (device const uchar *)w + ulong(group.x) * 384u;
    }
    else if (T == 1u) row[1] = row[0];
    else {
        row[1] = T > 2u ? row[0] : (device const uchar *)w;
    }
    FOUNDRY_READY();
    float4 sum = float4(0.0f);
    FOUNDRY_UNROLL
    for (uint i = lane; i < ROWS; i += LANES) {
        sum += load4(x + i * 4u) * 1.5e-07f;
        mine[i] = simd_sum(sum.x) - -1.0f;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (lane == 0u && !(T >> 1 == 4u)) store4(y + lane * 4u, sum);
`

// kernelOf returns a kernel of that body as lowering would assemble it.
func kernelOf(t testing.TB, body string) *plan.Kernel {
	t.Helper()
	k := &plan.Kernel{
		Name:   "k",
		Stages: slices.Clone(stages),
		Slots: []plan.Slot{
			{Name: "w", Type: "half", Space: "device", Access: plan.Read},
			{Name: "x", Type: "float", Space: "device", Access: plan.Read},
			{Name: "y", Type: "float", Space: "device", Access: plan.Write},
			{Name: "step", Type: "Position", Space: "constant", Access: plan.Read},
		},
		Threadgroup: []plan.ThreadgroupArg{{Name: "stage", Type: "half", Bytes: 1024}},
		Builtins:    []plan.Builtin{plan.ThreadgroupPosition, plan.SimdgroupIndex, plan.LaneIndex},
	}
	text := plan.Text{About: "a test", Body: body}
	for _, path := range stages {
		content, err := fs.ReadFile(shaders.FS, path)
		require.NoError(t, err)
		text.Stages = append(text.Stages, plan.Stage{Path: path, Text: string(content)})
	}
	k.Source = text.Join(k)
	return k
}

func TestGood(t *testing.T) {
	require.NoError(t, gate.New().Kernel(kernelOf(t, good)))
	require.NoError(t, gate.New().Kernel(kernelOf(t, "")))
}

// Every line of a body alone and every prefix is refused or accepted, and never
// more: what is cut in the middle of a statement is refused.
func TestCut(t *testing.T) {
	whole := strings.TrimSpace(good)
	for i := range whole {
		body := whole[:i] + "\n"
		err := gate.New().Kernel(kernelOf(t, body))
		if depth := strings.Count(body, "{") - strings.Count(body, "}"); depth != 0 {
			require.Error(t, err, "%q", body)
		}
	}
}

func TestHostileBodies(t *testing.T) {
	g := gate.New()
	for name, text := range hostileBodies {
		require.Error(t, g.Kernel(kernelOf(t, text)), name)
		require.Error(t, g.Kernel(kernelOf(t, text+"\n")), name)
		require.Error(t, g.Kernel(kernelOf(t, good+text+"\n")), "%s, behind what is good", name)
	}
}

// What is hostile about a body is said with its line and its text.
func TestErrors(t *testing.T) {
	k := kernelOf(t, good+"    asm(1u);\n")
	line := strings.Count(k.Source, "\n") - 1
	require.EqualError(t, gate.New().Kernel(k), `kernel "k" is refused: line `+strconv.Itoa(line)+`: "asm": neither an argument, nor declared, nor a word that a body may have; `+
		"a plan whose kernels were written by hand, or made with other stage files, runs with --trust-kernels")
}

// What stands around the body must be what the plan and this program say.
func TestAround(t *testing.T) {
	replace := func(old, fresh string) func(k *plan.Kernel) {
		return func(k *plan.Kernel) { k.Source = strings.Replace(k.Source, old, fresh, 1) }
	}
	for name, change := range map[string]func(k *plan.Kernel){
		"nothing":                        func(k *plan.Kernel) { k.Source = "" },
		"text before the banner":         func(k *plan.Kernel) { k.Source = "int a;\n" + k.Source },
		"a banner over two lines":        replace("a test", "a test \\\nint a;"),
		"a banner with a character":      replace("a test", "a \x1b[2J test"),
		"a banner that is a trigraph":    replace("a test", "a ??/"),
		"another include":                replace("#include <metal_stdlib>", "#include </etc/passwd>"),
		"a second include":               replace("#include <metal_stdlib>\n", "#include <metal_stdlib>\n#include </etc/passwd>\n"),
		"text behind the preamble":       replace("contract(off)\n", "contract(off)\nint a;\n"),
		"a stage changed by a byte":      replace("inline float4 load4", "inline  float4 load4"),
		"a stage with more":              replace("\n// ---- common/load.metal", "int a;\n\n// ---- common/load.metal"),
		"a stage that is not listed":     func(k *plan.Kernel) { k.Stages = k.Stages[1:] },
		"a listed one that is missing":   func(k *plan.Kernel) { k.Stages = append(k.Stages, "main/gemv.metal") },
		"a listed one out of the folder": func(k *plan.Kernel) { k.Stages[1] = "../../etc/passwd" },
		"a listed one that is absolute":  func(k *plan.Kernel) { k.Stages[1] = "/etc/passwd" },
		"a listed one that is a folder":  func(k *plan.Kernel) { k.Stages[1] = "common" },
		"a stage of another name":        replace("// ---- common/step.metal", "// ---- common/other.metal"),
		"a stage out of the folder":      replace("// ---- common/step.metal", "// ---- ../../etc/passwd"),
		"a stage that is absolute":       replace("// ---- common/step.metal", "// ---- /etc/passwd"),
		"a stage that is a folder":       replace("// ---- common/step.metal", "// ---- common"),
		"a stage of another line":        replace("#line 1 \"shaders/common/step", "#line 2 \"shaders/common/step"),
		"a stage twice": func(k *plan.Kernel) {
			text, err := k.Split(shaders.FS)
			require.NoError(t, err)
			text.Stages = append(text.Stages, text.Stages[0])
			k.Stages = append(k.Stages, stages[0])
			k.Source = text.Join(k)
		},
		"CR LF":                           func(k *plan.Kernel) { k.Source = strings.ReplaceAll(k.Source, "\n", "\r\n") },
		"text before the function":        replace("\n// ---- kernel ----", "int a;\n\n// ---- kernel ----"),
		"another line of the function":    replace("\"kernels/k.metal\"", "\"/etc/passwd\""),
		"an argument more":                replace("uint lane [[", "uint more, uint lane [["),
		"a default argument":              replace("[[thread_index_in_simdgroup]])", "[[thread_index_in_simdgroup]] = system(1))"),
		"a read slot that is written":     replace("device const half *w", "device half *w"),
		"text behind the function":        func(k *plan.Kernel) { k.Source += "int a;\n" },
		"no last line end":                func(k *plan.Kernel) { k.Source = strings.TrimSuffix(k.Source, "\n") },
		"a second function":               func(k *plan.Kernel) { k.Source += "kernel void l()\n{\n}\n" },
		"NUL behind the function":         func(k *plan.Kernel) { k.Source += "\x00" },
		"a kernel of a keyword's name":    rename("asm"),
		"a kernel of a reserved name":     rename("__k"),
		"a kernel of the header's name":   rename("foundry_k"),
		"a kernel named by two words":     rename("k() {} void l"),
		"a kernel without a name":         rename(""),
		"a slot of a keyword's name":      slot(func(s *plan.Slot) { s.Name = "asm" }),
		"a slot of two words":             slot(func(s *plan.Slot) { s.Name = "w = 0, int v" }),
		"a slot of a type that is none":   slot(func(s *plan.Slot) { s.Type = "system" }),
		"a slot of a keyword's type":      slot(func(s *plan.Slot) { s.Type = "auto" }),
		"a slot of a builtin's type":      slot(func(s *plan.Slot) { s.Type = "__int128" }),
		"a slot that is a function":       slot(func(s *plan.Slot) { s.Type = "decltype(asm)" }),
		"a slot of no space":              slot(func(s *plan.Slot) { s.Space = "thread" }),
		"two arguments of a name":         slot(func(s *plan.Slot) { s.Name = "x" }),
		"a slot named as a built-in":      slot(func(s *plan.Slot) { s.Name = "lane" }),
		"an unknown built-in":             func(k *plan.Kernel) { k.Builtins[0] = "x]] = system(1) [["; rejoin(k) },
		"threadgroup memory of no type":   func(k *plan.Kernel) { k.Threadgroup[0].Type = "system"; rejoin(k) },
		"threadgroup memory of a keyword": func(k *plan.Kernel) { k.Threadgroup[0].Name = "asm"; rejoin(k) },
	} {
		k := kernelOf(t, good)
		change(k)
		require.Error(t, gate.New().Kernel(k), name)
	}
}

func rename(name string) func(*plan.Kernel) {
	return func(k *plan.Kernel) { k.Name = name; rejoin(k) }
}

func slot(change func(*plan.Slot)) func(*plan.Kernel) {
	return func(k *plan.Kernel) { change(&k.Slots[0]); rejoin(k) }
}

// rejoin writes the text anew for what k says now.
func rejoin(k *plan.Kernel) {
	text := plan.Text{About: "a test", Body: good}
	for _, path := range stages {
		content, _ := fs.ReadFile(shaders.FS, path)
		text.Stages = append(text.Stages, plan.Stage{Path: path, Text: string(content)})
	}
	k.Source = text.Join(k)
}
