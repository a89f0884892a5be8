package msl

import (
	"fmt"
	"strings"

	"foundry/lower/plan"
)

// Options say how the text for a CPU is made.
type Options struct {
	Checked bool // matrix operations meet, so that diverging lanes are found, and loops count their turns
	Shared  bool // equal stages of several kernels stand once, and compile once; compilers then know less of each kernel
	United  bool // kernels whose stages differ share, with Shared, those that they have alike, and see the others'; each stage file is to be one text
}

// CPU returns the C++ unit of some kernels: for each a foundry_kernel named after its
// symbol, which is a part of a C identifier, and no two of which are for kernels that
// differ. Units that share kernels can be linked: one of the equal ones is taken.
func CPU(kernels []*plan.Kernel, symbols []string, o Options) (string, error) {
	var b strings.Builder
	if o.Checked {
		b.WriteString("#define FOUNDRY_CHECKED 1\n")
	}
	head, owned := cpuHeader()
	b.WriteString(named(kernels) + head)
	if o.Checked {
		b.WriteString(countedLoops)
	}
	if o.Shared {
		if err := shared(&b, kernels, symbols, owned, o.United); err != nil {
			return "", err
		}
	}
	for i, k := range kernels {
		if !o.Shared {
			if err := body(&b, symbols[i], k, owned); err != nil {
				return "", err
			}
		}
		cpuEntry(&b, symbols[i], k)
	}
	return b.String(), nil
}

// countedLoops makes each turn of a kernel's loops a step that is counted: a compiler that
// finds out that a loop has no end leaves nothing in it, and instruments nothing. The word
// while may end a loop, so its turns count in the condition. Metal has no goto.
const countedLoops = `static inline void foundry_turn_of_loop() { __asm__ volatile(""); }
#define for(...) for (__VA_ARGS__) if (foundry_turn_of_loop(), false) {} else
#define while(...) while (foundry_turn_of_loop(), (__VA_ARGS__))
`

// CPUTable returns the C++ unit that exports foundry_module, with the kernels of the
// symbols in their order.
func CPUTable(symbols []string) string {
	var b strings.Builder
	var all []string
	b.WriteString(ABI() + "extern \"C\" {\n")
	for _, s := range symbols {
		fmt.Fprintf(&b, "extern const foundry_kernel foundry_kernel_table_%s;\n", s)
		all = append(all, "&foundry_kernel_table_"+s)
	}
	fmt.Fprintf(&b, `static const foundry_kernel* const foundry_all[] = {%s};
static const foundry_module_table foundry_table = {%d, foundry_all};
__attribute__((visibility("default"))) const foundry_module_table* foundry_module(void) { return &foundry_table; }
}
`, strings.Join(append(all, "0"), ", "), len(symbols))
	return b.String()
}

// body writes the kernel's own text in a namespace of its symbol; the macros of owned
// are the header's.
func body(b *strings.Builder, symbol string, k *plan.Kernel, owned map[string]bool) error {
	c, err := clean(k.File, k.Source, owned)
	if err != nil {
		return fmt.Errorf("kernel %s: %w", k.Name, err)
	}
	writeBody(b, symbol, k, c)
	return nil
}

func writeBody(b *strings.Builder, symbol string, k *plan.Kernel, c *cleaned) {
	fmt.Fprintf(b, "namespace metal { namespace %s {\n#line 1 %q\n%s\n#line 1 \"entry of %s\"\n", space(symbol), k.File, c.text, k.Name)
	endMacros(b, c.macros)
	b.WriteString("} }\n")
}

func endMacros(b *strings.Builder, names []string) {
	for _, m := range names {
		fmt.Fprintf(b, "#undef %s\n", m)
	}
}

func space(symbol string) string { return "foundry_kernel_" + symbol }

// builtins as C++ expressions over the group g and the fiber f. The values of a
// thread's position are computed where they are asked for.
var cpuBuiltins = map[plan.Builtin]string{
	plan.ThreadgroupPosition: "uint3(g->position[0], g->position[1], g->position[2])",
	plan.ThreadgroupsPerGrid: "uint3(g->grid[0], g->grid[1], g->grid[2])",
	plan.ThreadPosition: "uint3(g->position[0] * g->size[0] + f->thread % g->size[0], " +
		"g->position[1] * g->size[1] + f->thread / g->size[0] % g->size[1], " +
		"g->position[2] * g->size[2] + f->thread / (g->size[0] * g->size[1]))",
	plan.ThreadIndex:    "f->thread",
	plan.SimdgroupIndex: "f->simd->index",
	plan.LaneIndex:      "f->lane",
}

func cpuEntry(b *strings.Builder, symbol string, k *plan.Kernel) {
	args := arguments(symbol, k, "g->buffer[%d]", "g->array[%d]", cpuBuiltins)
	fmt.Fprintf(b, `%snamespace metal {
static void foundry_entry_%s(const foundry_group* g, const foundry_fiber* f) {
    (void)g, (void)f;
    %s::%s(%s);
}
}
`, arity(symbol, k), symbol, space(symbol), k.Name, strings.Join(args, ",\n        "))
	slots, arrays, sizes := []string{}, []string{}, []string{}
	for _, s := range k.Slots {
		slots = append(slots, fmt.Sprintf("%q", s.Name))
	}
	for _, a := range k.Threadgroup {
		arrays = append(arrays, fmt.Sprintf("%q", a.Name))
		sizes = append(sizes, fmt.Sprint(a.Bytes))
	}
	fmt.Fprintf(b, "static const char* const foundry_slots_%s[] = {%s};\n", symbol, strings.Join(append(slots, "0"), ", "))
	fmt.Fprintf(b, "static const char* const foundry_arrays_%s[] = {%s};\n", symbol, strings.Join(append(arrays, "0"), ", "))
	fmt.Fprintf(b, "static const foundry_u32 foundry_bytes_%s[] = {%s};\n", symbol, strings.Join(append(sizes, "0"), ", "))
	fmt.Fprintf(b, "extern \"C\" __attribute__((weak)) const foundry_kernel foundry_kernel_table_%s;\n", symbol)
	fmt.Fprintf(b, "const foundry_kernel foundry_kernel_table_%s = {%q, metal::foundry_entry_%s, %d, %d, {%d, %d, %d}, 0, foundry_slots_%s, foundry_arrays_%s, foundry_bytes_%s};\n",
		symbol, k.Name, symbol, len(k.Slots), len(k.Threadgroup), k.Threads[0], k.Threads[1], k.Threads[2], symbol, symbol, symbol)
}

// arity checks at compile time that the text has as many parameters as the plan
// declares.
func arity(symbol string, k *plan.Kernel) string {
	n := len(k.Slots) + len(k.Threadgroup) + len(k.Builtins)
	return fmt.Sprintf("static_assert(metal::foundry_arity<decltype(metal::%s::%s)>::value == %d, \"kernel %s: the plan declares %d parameters\");\n",
		space(symbol), k.Name, n, k.Name, n)
}

// arguments are the expressions for the kernel's parameters in order: buffers,
// threadgroup memory, built-ins.
func arguments(symbol string, k *plan.Kernel, slot, array string, builtins map[plan.Builtin]string) []string {
	var args []string
	from := func(format string, n int) {
		args = append(args, fmt.Sprintf("foundry_argument<foundry_parameter<%d, decltype(%s::%s)>::type>::of(%s)",
			len(args), space(symbol), k.Name, fmt.Sprintf(format, n)))
	}
	for n := range k.Slots {
		from(slot, n)
	}
	for n := range k.Threadgroup {
		from(array, n)
	}
	for _, u := range k.Builtins {
		args = append(args, builtins[u])
	}
	return args
}
