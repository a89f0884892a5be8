package msl

import (
	"fmt"
	"strings"

	"foundry/lower/plan"
)

// CPU returns the C++ unit of kernels[first:last] of a plan. Unit 0 of several,
// the one with table set, exports foundry_module with all kernels. The checked
// unit's matrix operations meet, so that diverging lanes are found.
func CPU(kernels []plan.Kernel, first, last int, table, checked bool) (string, error) {
	var b strings.Builder
	if checked {
		b.WriteString("#define FOUNDRY_CHECKED 1\n")
	}
	head := header(cpuParts)
	b.WriteString(head)
	owned := macros(head)
	for i := first; i < last; i++ {
		if err := body(&b, i, &kernels[i], owned); err != nil {
			return "", err
		}
		cpuEntry(&b, i, &kernels[i])
	}
	if table {
		cpuTable(&b, kernels)
	}
	return b.String(), nil
}

// body writes the kernel's own text in its namespace; the macros of owned are the
// header's.
func body(b *strings.Builder, i int, k *plan.Kernel, owned map[string]bool) error {
	c, err := clean(k.File, k.Source, owned)
	if err != nil {
		return fmt.Errorf("kernel %s: %w", k.Name, err)
	}
	fmt.Fprintf(b, "namespace metal { namespace %s {\n#line 1 %q\n%s\n#line 1 \"entry of %s\"\n", space(i), k.File, c.text, k.Name)
	for _, m := range c.macros {
		fmt.Fprintf(b, "#undef %s\n", m)
	}
	b.WriteString("} }\n")
	return nil
}

func space(i int) string { return fmt.Sprintf("foundry_kernel_%d", i) }

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

func cpuEntry(b *strings.Builder, i int, k *plan.Kernel) {
	args := arguments(i, k, "g->buffer[%d]", "g->array[%d]", cpuBuiltins)
	fmt.Fprintf(b, `%snamespace metal {
static void foundry_entry_%d(const foundry_group* g, const foundry_fiber* f) {
    (void)g, (void)f;
    %s::%s(%s);
}
}
`, arity(i, k), i, space(i), k.Name, strings.Join(args, ",\n        "))
	fmt.Fprintf(b, "extern \"C\" const foundry_kernel foundry_kernel_table_%d;\n", i)
	slots, arrays, sizes := []string{}, []string{}, []string{}
	for _, s := range k.Slots {
		slots = append(slots, fmt.Sprintf("%q", s.Name))
	}
	for _, a := range k.Threadgroup {
		arrays = append(arrays, fmt.Sprintf("%q", a.Name))
		sizes = append(sizes, fmt.Sprint(a.Bytes))
	}
	fmt.Fprintf(b, "static const char* const foundry_slots_%d[] = {%s};\n", i, strings.Join(append(slots, "0"), ", "))
	fmt.Fprintf(b, "static const char* const foundry_arrays_%d[] = {%s};\n", i, strings.Join(append(arrays, "0"), ", "))
	fmt.Fprintf(b, "static const foundry_u32 foundry_bytes_%d[] = {%s};\n", i, strings.Join(append(sizes, "0"), ", "))
	fmt.Fprintf(b, "const foundry_kernel foundry_kernel_table_%d = {%q, metal::foundry_entry_%d, %d, %d, {%d, %d, %d}, 0, foundry_slots_%d, foundry_arrays_%d, foundry_bytes_%d};\n",
		i, k.Name, i, len(k.Slots), len(k.Threadgroup), k.Threads[0], k.Threads[1], k.Threads[2], i, i, i)
}

// arity checks at compile time that the text has as many parameters as the plan
// declares.
func arity(i int, k *plan.Kernel) string {
	n := len(k.Slots) + len(k.Threadgroup) + len(k.Builtins)
	return fmt.Sprintf("static_assert(metal::foundry_arity<decltype(metal::%s::%s)>::value == %d, \"kernel %s: the plan declares %d parameters\");\n",
		space(i), k.Name, n, k.Name, n)
}

// arguments are the expressions for the kernel's parameters in order: buffers,
// threadgroup memory, built-ins.
func arguments(i int, k *plan.Kernel, slot, array string, builtins map[plan.Builtin]string) []string {
	var args []string
	from := func(format string, n int) {
		args = append(args, fmt.Sprintf("foundry_argument<foundry_parameter<%d, decltype(%s::%s)>::type>::of(%s)",
			len(args), space(i), k.Name, fmt.Sprintf(format, n)))
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

func cpuTable(b *strings.Builder, kernels []plan.Kernel) {
	var all []string
	b.WriteString("extern \"C\" {\n")
	for i := range kernels {
		fmt.Fprintf(b, "extern const foundry_kernel foundry_kernel_table_%d;\n", i)
		all = append(all, fmt.Sprintf("&foundry_kernel_table_%d", i))
	}
	fmt.Fprintf(b, `static const foundry_kernel* const foundry_all[] = {%s};
static const foundry_module_table foundry_table = {%d, foundry_all};
__attribute__((visibility("default"))) const foundry_module_table* foundry_module(void) { return &foundry_table; }
}
`, strings.Join(append(all, "0"), ", "), len(kernels))
}
