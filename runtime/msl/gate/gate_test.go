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

// hostileBodies are bodies that do something else than compute, or are read by a
// compiler otherwise than by people.
var hostileBodies = map[string]string{
	// What runs when the object is loaded, or chooses where code lies.
	"a constructor behind the function":  "}\n__attribute__((constructor)) static void f() {\n",
	"an attribute with brackets":         "[[gnu::constructor]] uint a = 1u;",
	"init_priority":                      "}\nstruct S { S(); }; S s __attribute__((init_priority(101)));\nvoid f() {\n",
	"a static initialiser":               "}\nstatic uint a = load1(0);\nvoid f() {\n",
	"a global variable":                  "}\nuint a = 1u;\nkernel void f() {\n",
	"a global behind the whole function": "}\nuint a = 1u",
	"a static local":                     "static uint a = 1u;",
	"a static local behind const":        "const static uint a = 1u;",
	"thread_local":                       "thread_local uint a = 1u;",
	"asm":                                `asm("ud2");`,
	"asm volatile":                       `asm volatile("syscall" ::: "memory");`,
	"__asm__":                            `__asm__("ud2");`,
	"asm at the top":                     "}\nasm(\".section .init_array\");\nvoid f() {\n",
	"a register's name":                  `register ulong a asm("rax") = 1ul;`,
	"incbin":                             `asm(".incbin \"/etc/passwd\"");`,
	"section":                            `__attribute__((section(".init_array"))) uint a = 1u;`,
	"ifunc":                              "}\nvoid g() __attribute__((ifunc(\"f\")));\nvoid f() {\n",
	"alias":                              "extern void g() __attribute__((alias(\"k\")));",
	"cleanup":                            "uint a __attribute__((cleanup(store4))) = 1u;",
	"goto into asm":                      "again: asm goto(\"\" :::: again);",
	"goto":                               "again: goto again;",
	"a computed goto":                    "thread void *const a = &&again; again: goto *a;",
	"a label":                            "again: store4(y, float4(0.0f));",
	"a nested function":                  "uint f(uint a) { return a; }",
	"a function's prototype":             "int system(const char *);",
	"a prototype of a known type":        "uint system(uint a);",
	"a prototype with a pointer":         "threadgroup float *system(uint a);",
	"a prototype behind a comma":         "uint a = 1u, system(uint b);",
	"extern":                             "extern int system(const char *);",
	"extern C":                           "extern \"C\" int system(const char *);",
	"an undeclared function":             "system(x);",
	"printf":                             "printf(x);",
	"abort":                              "abort();",
	"a name with an underscore":          "_exit(1);",
	"a builtin":                          "__builtin_trap();",
	"a builtin in an expression":         "uint a = __builtin_popcount(1u);",
	"sync":                               "__sync_synchronize();",
	"a statement expression":             "uint a = ({ 1u; });",
	"a lambda":                           "auto f = [] { return 1u; };",
	"a lambda called":                    "uint a = [] { return 1u; }();",
	"new":                                "threadgroup float *a = new float[4];",
	"delete":                             "delete x;",
	"throw":                              "throw 1;",
	"try":                                "try { } catch (...) { }",
	"typeid":                             "typeid(x);",
	"decltype":                           "decltype(x) a = x;",
	"auto":                               "auto a = x;",
	"typeof":                             "typeof(x) a = x;",
	"volatile":                           "volatile uint a = 1u;",
	"switch":                             "switch (1u) { case 1u: break; }",
	"sizeof":                             "uint a = sizeof(half);",
	"an operator":                        "struct S { uint operator+(uint a) { return a; } };",
	"an operator's name":                 "sum.operator=(1u);",
	"a struct":                           "struct S { uint a; };",
	"a union":                            "union { uint a; float b; } u;",
	"an enum":                            "enum { A };",
	"a typedef":                          "typedef uint a;",
	"using":                              "using a = uint;",
	"a namespace":                        "namespace a = metal;",
	"a namespace that opens":             "} } namespace metal {\nvoid f() {\n",
	"a template":                         "}\ntemplate <uint N> void g() {}\nkernel void f() {\n",
	"template in a body":                 "template <uint N> uint a = N;",
	"a static_assert":                    "static_assert(true);",
	"another namespace":                  "::metal::store4(y, float4(0.0f));",
	"the global namespace":               "::system(1u);",
	"std":                                "std::abort();",
	"a variable of the header":           "foundry_here();",
	"a macro of the header":              "FOUNDRY_THREADGROUP_ARRAY(float, a, [4])",
	"a macro of the header as value":     "uint a = FOUNDRY_CPU;",
	"a hidden macro of the header":       "FOUNDRY_WAIT();",
	"a reserved name":                    "uint __a = 1u;",
	"a reserved name within":             "uint a__b = 1u;",
	"a reserved name of a capital":       "uint _A = 1u;",
	"a name of the header":               "uint foundry_a = 1u;",
	"a name of the header in capitals":   "uint Foundry_a = 1u;",
	"a keyword as a name":                "uint asm = 1u;",
	"an alternative operator":            "uint a = 1u bitand 2u;",
	"an alternative operator as a name":  "uint compl = 1u;",
	"the ready point as a value":         "uint a = FOUNDRY_READY;",
	"the ready point twice":              "FOUNDRY_READY();\nFOUNDRY_READY();",
	"the ready point in a block":         "if (lane == 0u) { FOUNDRY_READY(); }",
	"an unrolled statement":              "FOUNDRY_UNROLL store4(y, float4(0.0f));",
	"pragma by operator":                 `_Pragma("GCC poison float")`,
	"__pragma":                           "__pragma(poison)",
	"file":                               "uint a = __LINE__;",
	"has_include":                        "uint a = __has_include(</etc/passwd>);",
	// Spellings of the preprocessor.
	"include":                            "#include </etc/passwd>",
	"include with quotes":                "#include \"/etc/passwd\"",
	"include of what may be included":    "#include <metal_stdlib>",
	"include behind spaces":              "  \t#  include </etc/passwd>",
	"include behind a comment":           "/* */ #include </etc/passwd>",
	"include over two lines":             "#\\\ninclude </etc/passwd>",
	"include with a comment within":      "#/* */include </etc/passwd>",
	"include_next":                       "#include_next <stdio.h>",
	"import":                             "#import <stdio.h>",
	"embed":                              "#embed </etc/passwd>",
	"a computed include":                 "#define A </etc/passwd>\n#include A",
	"include by digraph":                 "%:include </etc/passwd>",
	"include by trigraph":                "??=include </etc/passwd>",
	"define":                             "#define float double",
	"undef":                              "#undef FOUNDRY_READY",
	"if":                                 "#if 1\n#endif",
	"pragma":                             "#pragma GCC poison float",
	"pragma push_macro":                  "#pragma push_macro(\"float\")",
	"line":                               "#line 1 \"/etc/passwd\"",
	"error":                              "#error x",
	"ident":                              "#ident \"x\"",
	"a directive in a line":              "uint a = 1u; # define b",
	"a null directive":                   "#\n",
	"token pasting":                      "uint a##b = 1u;",
	"token pasting by digraph":           "uint a %:%: b = 1u;",
	"digraph braces":                     "<% uint a = 1u; %>",
	"digraph brackets":                   "uint a<:2u:>;",
	"a trigraph":                         "uint a??(2u??);",
	"a trigraph in a comment":            "// what ??/\nuint a = 1u;",
	"a line continued":                   "uint a = \\\n1u;",
	"a comment continued":                "// what \\\nasm(1u);",
	"a comment continued behind a space": "// what \\ \nasm(1u);",
	"a word over two lines":              "a\\\nsm(1u);",
	"a comment of several lines":         "/* a\n */",
	"a comment that stays open":          "/* a",
	"a comment to the function's brace":  "// a\x00",
	"a universal character name":         "uint \\u0061sm = 1u;",
	"a long universal character name":    "uint \\U00000061sm = 1u;",
	"a letter beyond ASCII":              "uint \u00e4 = 1u;",
	"a letter that looks like one":       "uint \u0430 = 1u;",
	"text from right to left":            "// \u202e\nuint a = 1u;",
	"a dollar":                           "uint a$b = 1u;",
	"an at sign":                         "uint a@b = 1u;",
	"a grave":                            "uint a = `1u`;",
	"a string":                           "x = \"a\";",
	"a character":                        "uint a = 'a';",
	"a raw string":                       "x = R\"(a)\";",
	"a string with a prefix":             "x = u8\"a\";",
	"NUL":                                "uint a = 1u;\x00",
	"CR":                                 "uint a = 1u;\r",
	"CR alone as a line end":             "// a\rasm(1u);",
	"a form feed":                        "\fuint a = 1u;",
	"a vertical tab":                     "\vuint a = 1u;",
	"a tab":                              "\tuint a = 1u;",
	"escape":                             "// \x1b[2J\n",
	"a byte that is no UTF-8":            "// \xff\n",
	"a byte order mark":                  "\ufeffuint a = 1u;",
	// Sizes.
	"a long line":                     "uint a = 1u" + strings.Repeat(" + 1u", 2000) + ";",
	"a long comment":                  "//" + strings.Repeat(" a", 4000),
	"a long name":                     "uint " + strings.Repeat("a", 300) + " = 1u;",
	"deep blocks":                     strings.Repeat("{", 10000) + strings.Repeat("}", 10000),
	"deep blocks on lines":            strings.Repeat("{\n", 10000) + strings.Repeat("}\n", 10000),
	"deep brackets":                   "uint a = " + strings.Repeat("(\n", 10000) + "1u" + strings.Repeat(")\n", 10000) + ";",
	"deep conditions":                 strings.Repeat("if (lane == 0u)\n", 10000) + "store4(y, float4(0.0f));",
	"deep subscripts":                 "uint a = " + strings.Repeat("x[\n", 10000) + "1u" + strings.Repeat("]\n", 10000) + ";",
	"deep templates":                  "uint a = " + strings.Repeat("as_type<\n", 10000),
	"deep casts":                      "store4(" + strings.Repeat("(device const uchar *)\n", 10000) + "y, float4(0.0f));",
	"a long body":                     strings.Repeat("store4(y, float4(0.0f));\n", 20000),
	"a huge number":                   "uint a = 99999999999999999999999u;",
	"a number of more than 32 bits":   "uint a = 4294967296u;",
	"a huge array":                    "float a[1000000000];",
	"a huge array in hexadecimal":     "float a[0xffffffffu];",
	"a huge array of dimensions":      "float a[4096][4096];",
	"a huge array by a product":       "float a[4096 * 4096];",
	"a huge array that overflows":     "float a[4294967295u * 4294967295u * 4294967295u];",
	"a huge array by a constant":      "constexpr uint N = 1000000u; float a[N];",
	"an array by what is computed":    "constexpr uint N = 4u + 5u; float a[N];",
	"an array by an expression":       "float a[4u + 5u];",
	"an array of the thread's choice": "float a[lane];",
	"huge arrays, many":               strings.Repeat("{ float a[4096]; }\n", 5),
	"a number with a separator":       "uint a = 1'000u;",
	"a number of a user's suffix":     "uint a = 1_x;",
	"a binary number":                 "uint a = 0b1u;",
	"an octal number":                 "uint a = 010u;",
	"a double":                        "float a = 1.0;",
	"a long double":                   "float a = 1.0L;",
	"a float in hexadecimal":          "float a = 0x1p3f;",
	"an imaginary number":             "float a = 1.0if;",
	// Memory that is not the kernel's to write.
	"a cast that takes const away":           "store4((device float *)x, float4(0.0f));",
	"a pointer to device memory":             "device float *a = y;",
	"a cast to another space":                "uint a = (thread uint *)x;",
	"a cast to a pointer of none":            "uint a = *(uint *)x;",
	"a cast of an address":                   "store1((threadgroup float *)140000000000ul, 1.0f);",
	"a cast of a computed address":           "store1((threadgroup float *)(lane + 140000000000ul), 1.0f);",
	"a cast of a cast":                       "store1((threadgroup float *)(ulong(lane)), 1.0f);",
	"a cast of an argument by value":         "store1((threadgroup float *)step, 1.0f);",
	"a cast to a function":                   "((threadgroup void (*)())x)();",
	"a call of a value":                      "x(1u);",
	"a call of a subscript":                  "x[0](1u);",
	"an address":                             "store4(&sum, float4(0.0f));",
	"a reference":                            "uint &a = y[0];",
	"a local pointer":                        "thread float *a = y;",
	"threadgroup memory":                     "threadgroup float a[4];",
	"constant memory":                        "constant float a = 1.0f;",
	"a member pointer":                       "x.*y = 1u;",
	"an arrow":                               "x->y = 1u;",
	"a member that no stage has":             "step.unheard = 1u;",
	"a scope that is not the type's":         "uint a = mem_flags::unheard;",
	"a comma":                                "for (uint i = 0u, j = 0u; i < 1u; i++, j++) store4(y, float4(0.0f));",
	"a loop without end":                     "for (;;) store4(y, float4(0.0f));",
	"a stray brace":                          "}",
	"a stray brace that opens":               "{",
	"an empty statement":                     ";",
	"a loop that says it has no end":         "while (true) { }",
	"a loop with a condition of its own":     "while (lane < 4u) { }",
	"a loop whose condition never changes":   "for (uint i = 0u; true; i++) { }",
	"a loop that stays":                      "for (uint i = 0u; i < 4u; i += 0u) { }",
	"a loop that goes back":                  "for (uint i = 0u; i < 4u; i++) i = 0u;",
	"a loop that goes back by brackets":      "for (uint i = 0u; i < 4u; i++) (i) = 0u;",
	"a loop that goes back by choice":        "uint a = 0u;\nfor (uint i = 0u; i < 4u; i++) (lane == 0u ? i : a) = 0u;",
	"a loop that goes back by one":           "for (uint i = 0u; i < 4u; i++) i--;",
	"a loop that goes back by one, before":   "for (uint i = 0u; i < 4u; i++) --i;",
	"a loop inside that goes back":           "for (uint i = 0u; i < 4u; i++) for (uint j = 0u; j < 4u; j++) i -= j;",
	"a loop that counts another":             "uint j = 0u;\nfor (uint i = 0u; j < 4u; i++) { }",
	"a length that is no constant":           "uint n = 4u;\nn = 100000000u;\nfloat a[n];",
	"a length that a block hides":            "const uint n = step.T;\n{ const uint n = 4u; }\nfloat a[n];",
	"a length that is an argument, hidden":   "{ const uint lane = 4u; }\nfloat a[lane];",
	"a length of nothing":                    "float a[0];",
	"a huge array of vectors":                "float4 a[16384];",
	"a huge array of long words":             "ulong4 a[4096];",
	"a pointer that a number hides":          "{ uint x = 1u; store4((threadgroup float *)x, sum); }",
	"a counter of two loops":                 "for (uint i = 0u; i < 4u; i++) { for (uint i = 0u; i < 4u; i++) { } i = 0u; }",
	"a name that is a number of the library": "uint INFINITY = 1u;",
	"a name of the library's limits":         "uint INT_MAX = 1u;",
	"a name that is NULL":                    "uint NULL = 1u;",
	"a pointer of nothing":                   "threadgroup float *p = 0;",
	"a pointer of a number":                  "threadgroup float *p = 140000000000ul;",
	"a pointer of a choice of numbers":       "threadgroup float *p = lane == 0u ? 0 : 1;",
	"a pointer that begins as nothing":       "threadgroup float *p;\np[lane] = 1.0f;",
	"what a number points to":                "float a = *140000000000ul;",
	"what a value points to":                 "float a = *lane;",
	"what a pointee points to":               "float a = **x;",
	"signs in one another":                   "uint a = " + strings.Repeat("! ~ ", 1000) + "1u;",
	"signs in one another on lines":          "uint a = " + strings.Repeat("- \n", 60000) + "1u;",
	"signs side by side":                     "uint a = ++lane;",
	"conditions in a chain":                  strings.Repeat("if (lane == 0u) { }\nelse ", 9000) + "{ }",
	"choices in a chain":                     "uint a = " + strings.Repeat("lane == 0u ? 1u :\n", 9000) + "1u;",
	"operands in a chain":                    "uint a = " + strings.Repeat("lane +\n", 30000) + "1u;",
	"assignments in a chain":                 "uint a = 0u;\n" + strings.Repeat("a =\n", 9000) + "1u;",
	"an array by brackets around a name":     "{ uint(lane)[1000000000u]; }",
	"a variable by brackets around a name":   "{ uint(system) = 1u; }",
	"a function by brackets around a name":   "{ uint(system)(uint(lane)); }",
	"another's template argument that runs":  "float4 a = load4<1000000000u>(x);",
	"an attribute on a statement":            "[[likely]] store4(y, float4(0.0f));",
	"__extension__":                          "__extension__ uint a = 1u;",
	"a value returned":                       "return 1u;",
	"a return from the future":               "co_return;",
	"a name of no stage of the kernel":       "tile_clear(x);",
	"a template argument that is a block":    "as_type<{1u}>(x);",
	// A cast to another address space takes a const away where C++ has one space for all.
	"weights as threadgroup memory":           "threadgroup float *a = (threadgroup float *)w;",
	"weights as threadgroup memory, by two":   "threadgroup float *a = (threadgroup float *)(device const uchar *)w;",
	"weights as threadgroup memory, brackets": "threadgroup float *a = ((threadgroup float *)((w)));",
	"weights as threadgroup memory, chosen":   "threadgroup float *a = lane == 0u ? stage : w;",
	"weights as threadgroup memory, stored":   "store4((threadgroup float *)(w + lane), float4(0.0f));",
	"a result as threadgroup memory":          "threadgroup float *a = y;",
	"what threadgroup memory as weights":      "device const float *a = (device const float *)stage;",
	"values beyond a thread's stack":          "float4 a" + strings.Repeat(",\na", 5000) + ";",
	"values beyond a thread's stack, blocks":  strings.Repeat("{ ulong4 a = ulong4(1ul); }\n", 3000),
	// From a walk past the gate by hand.
	"the executor's fiber":               "f->thread;",
	"the executor's buffers":             "g->buffer[0];",
	"the entry":                          "foundry_entry_k(x, y);",
	"the kernel itself":                  "k(w, x, y, step, stage, group, simd, lane);",
	"a call of an argument":              "x(1u);",
	"a call of a number":                 "lane(1u);",
	"an arrow, again":                    "step->T;",
	"a reference, again":                 "uint &a = lane;",
	"a reference that binds what passes": "const uint &a = lane;",
	"a declaration that takes apart":     "const uint [a, b] = x;",
	"a value by braces":                  "uint a{1u};",
	"a prototype of a vector":            "float4 f(float4);",
	"a pointer to a function":            "uint (*f)(uint) = k;",
	"an address, again":                  "threadgroup float *a = &stage[0];",
	"a choice that is stored to":         "for (uint i = 0u; i < 2u; i++) { (lane == 0u ? i : lane) = 0u; }",
	"a loop that stands":                 "constexpr uint Z = 0u; for (uint i = 0u; i < 2u; i += Z) { }",
	"a loop of floats":                   "for (float i = 0.0f; i < 2.0f; i += 0.0f) { }",
	"a loop to the last number":          "for (uint i = 0u; i <= 4294967295u; i++) { }",
	"an attribute on a loop":             "for [[unroll]] (uint i = 0u; i < 2u; i++) { }",
	"a digraph in a template":            "as_type<::uint>(1.0f);",
	"another floating type":              "bfloat a = 1.0f;",
	"a function constant":                "constant uint a [[function_constant(0)]];",
	"a log":                              "os_log_default.log(x);",
	"a no-break space":                   "uint\u00a0a = 1u;",
	"a space of no width":                "u\u200bint a = 1u;",
	"a line separator":                   "// a\u2028asm(1u);",
	"a next line":                        "// a\u0085asm(1u);",
	"DEL":                                "uint a = 1u;\x7f",
	"an exponent that goes on":           "float a = 1e+x;",
	"a number that goes on":              "uint a = 1uasm;",
	"a dangling brace":                   "} {",
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
