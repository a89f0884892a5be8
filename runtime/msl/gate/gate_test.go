package gate_test

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
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
	var refusals strings.Builder
	for _, name := range slices.Sorted(maps.Keys(hostileBodies)) {
		text := hostileBodies[name]
		require.Error(t, g.Kernel(kernelOf(t, text)), name)
		require.Error(t, g.Kernel(kernelOf(t, good+text+"\n")), "%s, behind what is good", name)
		fmt.Fprintf(&refusals, "%s: %s\n", name, refusal(t, g.Kernel(kernelOf(t, text+"\n"))))
	}
	requireGolden(t, "bodies.txt", refusals.String())
}

// refusal is why a kernel is refused. Lines count from the body's first: those before it
// are as many as the stage files have.
func refusal(t *testing.T, err error) string {
	t.Helper()
	require.Error(t, err)
	_, why, _ := strings.Cut(err.Error(), " is refused: ")
	why, _, _ = strings.Cut(why, "; a plan whose kernels")
	first := strings.Count(kernelOf(t, "").Source, "\n")
	return lineOf.ReplaceAllStringFunc(why, func(line string) string {
		n, err := strconv.Atoi(line[len("line "):])
		require.NoError(t, err)
		switch {
		case n < 2:
			return line
		case n < first:
			return "a line ahead of the body"
		}
		return fmt.Sprintf("line %d", 1+n-first)
	})
}

var lineOf = regexp.MustCompile(`\bline \d+`)

var update = flag.Bool("update", false, "rewrite why the gate refuses what is hostile, in testdata")

// requireGolden holds why things are refused to what was read: that a text is refused
// for what is hostile about it, and not because another rule happens to stumble.
func requireGolden(t *testing.T, file, got string) {
	t.Helper()
	file = "testdata/" + file
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// Each construct of the grammar is let through, alone and up to the sizes that there are.
func TestAccepted(t *testing.T) {
	g := gate.New()
	for _, body := range []string{
		"{ { } }", "if (lane == 0u) return;", "if (lane == 0u) { } else { }", "if (lane == 0u) { } else if (lane == 1u) return; else { }",
		"for (uint i = 0u; i < 4u; i++) { break; }", "for (uint i = lane; i < step.T; i += 2u * 3u) continue;",
		"constexpr uint N = 4u; for (uint i = 0u; i < 4u; i += N * 2u) { }", "FOUNDRY_UNROLL_TILES for (uint i = 0u; i < 4u; i++) { }",
		"for (uint i = 0u; i < 4u; i++) { uint j = i; j = 3u; j++; y[i] = 1.0f; y[i + 1u] += 2.0f; }",
		"for (uint i = 0u; i < 4u; i++) { }\nuint i = 0u; i = 1u;", // what counted is free behind its loop
		"for (uint i = 0u; i < 4u; i++) { for (uint i = 0u; i < 4u; i++) { } }",
		"FOUNDRY_READY();", "{ }\nFOUNDRY_READY();",
		"uint a, b = 1u, c[2], d[2u * 0x2u][3] = {1u};", "const float4 a = float4(1.0f);", "const constexpr uint a = 1u;",
		"uint a = 1u; { float a = 2.0f; a = 3.0f; } a = 2u;", "constexpr uint N = 4u; { const uint N = 3u; float a[N]; } float b[N];",
		"device const float *a = x;", "device const float *const a = x + lane, *b = a;", "threadgroup half *a = stage;", "threadgroup const half *a[2];",
		"threadgroup float *a = (threadgroup float *)stage + 4u;", "threadgroup half *a = lane == 0u ? stage : stage + 4u;",
		"threadgroup half *a = lane == 0u ? stage : lane == 1u ? stage + 1u : stage + 2u;", "float a = *(x + lane);", "float a = -*x;", "float a = *((x));",
		"uint a = ~lane; bool b = !(lane == 0u); int c = -1, d = +1, e = - -1;", "uint a = lane++ + lane--;", "uint a = lane +1u, b = lane -1u;",
		"uint a = lane << 2 >> 1 & 3u | 4u ^ 5u; a <<= 1u; a >>= 1u; a += 1u; a -= 1u; a *= 2u; a /= 2u; a %= 2u; a &= 1u; a |= 1u; a ^= 1u;",
		"bool a = lane <= 1u && lane >= 1u || lane != 1u && lane < 2u || lane > 3u;", "uint a = 1u, b = 2u; a = b = 3u;", "uint a = lane == 0u ? 1u : 2u;",
		"float a = float4(1.0f).x, b = float4(1.0f).wzyx.y;", "float4 a = {1.0f, 2.0f}; a.xy = float2(1.0f);", "uint a = as_type<uint>(1.0f);",
		"threadgroup_barrier(mem_flags::mem_none);", "bool a = true || false; float b = INFINITY, c = NAN;", "uint a = 0u, b = 0x0u, c = 2147483647, d = 4294967295u; ulong e = 9999999999999999999ul;",
		"float a = 1.0f, b = 1.f, c = 1e5f, d = 1.5E-10f, e = 1f; half g = 1.0h;", "// a comment\nuint a = 1u; // another", "weight_f16_8::Raw r = weight_f16_8::Raw();", "load4(x);", "return;",
		"uint " + strings.Repeat("a", 200) + " = 1u;",
	} {
		require.NoError(t, g.Kernel(kernelOf(t, body+"\n")), body)
	}
}

// What is as large as it may be is let through, and refused with one more.
func TestSizes(t *testing.T) {
	g := gate.New()
	for name, c := range map[string]struct {
		most int
		body func(n int) string
	}{
		"bytes of a body": {256 << 10, func(n int) string {
			return strings.Repeat("//"+strings.Repeat(" ", 61)+"\n", n/64) + strings.Repeat("\n", n%64)
		}},
		"bytes of a line":           {4 << 10, func(n int) string { return "//" + strings.Repeat(" ", n-2) + "\n" }},
		"blocks":                    {256, func(n int) string { return strings.Repeat("{ ", n) + strings.Repeat("} ", n) + "\n" }},
		"brackets":                  {255, func(n int) string { return strings.Repeat("(", n) + "x" + strings.Repeat(")", n) + ";\n" }},
		"operands":                  {1024, func(n int) string { return "lane" + strings.Repeat("+\nlane", n-1) + ";\n" }},
		"elements of an array":      {16 << 10, func(n int) string { return fmt.Sprintf("uint a[%d];\n", n) }},
		"elements of vectors":       {4 << 10, func(n int) string { return fmt.Sprintf("float4 a[%d];\n", n) }},
		"elements of wide vectors":  {2 << 10, func(n int) string { return fmt.Sprintf("ulong4 a[%d];\n", n) }},
		"elements of wide values":   {8 << 10, func(n int) string { return fmt.Sprintf("long a[%d];\n", n) }},
		"elements of three":         {5461, func(n int) string { return fmt.Sprintf("half3 a[%d];\n", n) }},
		"elements of dimensions":    {4 << 10, func(n int) string { return fmt.Sprintf("uint a[2][2u * %d];\n", n) }},
		"elements by a constant":    {16<<10 - 1, func(n int) string { return fmt.Sprintf("constexpr uint N = %d; uint a[N];\n", n) }},
		"elements of all together":  {8 << 10, func(n int) string { return fmt.Sprintf("uint a[%d]; uint b[8192];\n", n) }},
		"elements in another block": {16<<10 - 5, func(n int) string { return fmt.Sprintf("{ float4 b; } uint a[%d], c;\n", n) }},
		"a step":                    {16 << 10, func(n int) string { return fmt.Sprintf("for (uint i = 0u; i < 4u; i += %du) { }\n", n) }},
		"a number":                  {1<<31 - 1, func(n int) string { return fmt.Sprintf("int a = %d;\n", n) }},
		"a number without a sign":   {1<<32 - 1, func(n int) string { return fmt.Sprintf("uint a = %du;\n", n) }},
		"letters of a name":         {200, func(n int) string { return "uint " + strings.Repeat("a", n) + ";\n" }},
	} {
		require.NoError(t, g.Kernel(kernelOf(t, c.body(c.most))), name)
		require.Error(t, g.Kernel(kernelOf(t, c.body(c.most+1))), name)
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
	changes := map[string]func(k *plan.Kernel){
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
	}
	var refusals strings.Builder
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		k := kernelOf(t, good)
		changes[name](k)
		fmt.Fprintf(&refusals, "%s: %s\n", name, refusal(t, gate.New().Kernel(k)))
	}
	requireGolden(t, "heads.txt", refusals.String())
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
