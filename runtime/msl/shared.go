package msl

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"foundry/lower/plan"
	"foundry/runtime/msl/lex"
)

// family is kernels whose stages are equal.
type family struct {
	stages string
	macros []string
	own    []string // each kernel's function, in its namespace
	spaces []string // the namespaces' names
}

// shared writes the texts of kernels with stages that several have once: in a namespace
// that the stages name, and within it each kernel's own text in one of its symbol. A text
// without stages, or whose function has directives, stands alone, as body writes it.
func shared(b *strings.Builder, kernels []*plan.Kernel, symbols []string, owned map[string]bool) error {
	var order []*family
	of := map[string]*family{}
	for i, k := range kernels {
		c, err := clean(k.File, k.Source, owned)
		if err != nil {
			return fmt.Errorf("kernel %s: %w", k.Name, err)
		}
		stages, own, ok := stagesOf(k, c.text)
		if !ok {
			writeBody(b, symbols[i], k, c)
			continue
		}
		f := of[stages]
		if f == nil {
			f = &family{stages: stages, macros: c.macros}
			of[stages], order = f, append(order, f)
		}
		f.spaces = append(f.spaces, space(symbols[i]))
		f.own = append(f.own, fmt.Sprintf("namespace %s {\n%s\n#line 1 \"entry of %s\"\n}\n", space(symbols[i]), own, k.Name))
	}
	for _, f := range order {
		sum := sha256.Sum256([]byte(f.stages))
		name := fmt.Sprintf("foundry_stages_%x", sum[:16])
		fmt.Fprintf(b, "namespace metal { namespace %s {\n%s\n%s", name, f.stages, strings.Join(f.own, ""))
		endMacros(b, f.macros)
		b.WriteString("}\n")
		for _, s := range f.spaces {
			fmt.Fprintf(b, "namespace %s = %s::%s;\n", s, name, s)
		}
		b.WriteString("}\n")
	}
	return nil
}

// stagesOf cuts the cleaned text of a kernel into its stages, without the line that names
// the kernel, and its own function.
func stagesOf(k *plan.Kernel, text string) (stages, own string, ok bool) {
	text, ok = strings.CutPrefix(text, "// "+k.Name+": ")
	if !ok {
		return "", "", false
	}
	_, text, _ = strings.Cut(text, "\n")
	stages, own, ok = strings.Cut(text, plan.FunctionBanner)
	return stages, own, ok && !slices.ContainsFunc(lex.Cut(own), isDirective)
}

// isDirective: of a line directive nothing is left behind the text.
func isDirective(t lex.Token) bool {
	return t.Kind == lex.Directive && !strings.HasPrefix(t.Text, "#line ")
}
