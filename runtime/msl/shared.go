package msl

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"foundry/lower/plan"
	"foundry/runtime/msl/lex"
)

// family is kernels whose stages stand once.
type family struct {
	parts  []string // the preamble and the stage files, cleaned, as they stand
	macros []string
	own    []string // each kernel's function, in its namespace
	spaces []string // the namespaces' names
}

// shared writes the texts of kernels with stages that several have once: in a namespace
// that the stages name, and within it each kernel's own text in one of its symbol. A text
// without stages, or whose function has directives, stands alone, as body writes it. Where
// they are united, kernels share stage files as long as their orders agree; else only those
// do whose stages are equal.
func shared(b *strings.Builder, kernels []*plan.Kernel, symbols []string, owned map[string]bool, united bool) error {
	var families []*family
	for i, k := range kernels {
		c, err := clean(k.File, k.Source, owned)
		if err != nil {
			return fmt.Errorf("kernel %s: %w", k.Name, err)
		}
		stages, own, ok := k.CutStages(c.text)
		if !ok || lex.HasDirective(own) {
			writeBody(b, symbols[i], k, c)
			continue
		}
		parts := strings.Split(stages, plan.StageBanner)
		at := slices.IndexFunc(families, func(f *family) bool { return united && f.take(parts) || slices.Equal(f.parts, parts) })
		if at < 0 {
			at = len(families)
			families = append(families, &family{parts: parts})
		}
		f := families[at]
		f.macros = append(f.macros, c.macros...)
		f.spaces = append(f.spaces, space(symbols[i]))
		f.own = append(f.own, fmt.Sprintf("namespace %s {\n%s\n#line 1 \"entry of %s\"\n}\n", space(symbols[i]), own, k.Name))
	}
	for _, f := range families {
		f.write(b)
	}
	return nil
}

// take makes the family's parts hold those of another kernel, in the order of both, and
// reports whether there is one and the preamble is the same.
func (f *family) take(parts []string) bool {
	if f.parts[0] != parts[0] {
		return false
	}
	all, at := slices.Clone(f.parts), 1
	for _, p := range parts[1:] {
		i := slices.Index(all, p)
		switch {
		case i < 0:
			all = slices.Insert(all, at, p)
		case i < at:
			return false
		default:
			at = i
		}
		at++
	}
	f.parts = all
	return true
}

func (f *family) write(b *strings.Builder) {
	stages := strings.Join(f.parts, plan.StageBanner)
	sum := sha256.Sum256([]byte(stages))
	name := fmt.Sprintf("foundry_stages_%x", sum[:16])
	fmt.Fprintf(b, "namespace metal { namespace %s {\n%s\n%s", name, stages, strings.Join(f.own, ""))
	slices.Sort(f.macros)
	endMacros(b, slices.Compact(f.macros))
	b.WriteString("}\n")
	for _, s := range f.spaces {
		fmt.Fprintf(b, "namespace %s = %s::%s;\n", s, name, s)
	}
	b.WriteString("}\n")
}
