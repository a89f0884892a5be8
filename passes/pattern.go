package passes

import (
	"errors"
	"fmt"
	"slices"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/kernel"
)

// Pattern is a fusion as data: the operations of the region it forms, as the
// text that template describes.
type Pattern struct {
	Name    string // the name of the region: the attr "pattern" of the fused node
	Label   string // the label of the fused node, behind the layer; "": the core's own
	Doc     string // the saving, in one sentence
	Fusions []int  // numbers in the table of known fusions
	Text    string
	Off     []string // optional groups that are off unless the pass is told otherwise
	Grow    bool     // permission for regions of the pattern to join a larger one
}

// compiled is a pattern ready to match.
type compiled struct {
	*Pattern
	template *template
	forms    []*form
}

// compile reads the pattern's text.
func (p *Pattern) compile() (*compiled, error) {
	t, err := parseTemplate(p.Text)
	if err != nil {
		return nil, fmt.Errorf("pattern %s: %w", p.Name, err)
	}
	forms, err := t.forms()
	if err == nil && len(forms) == 0 {
		err = errors.New("it has fewer than two operations, and one alone is a kernel already")
	}
	if err != nil {
		return nil, fmt.Errorf("pattern %s: %w", p.Name, err)
	}
	return &compiled{p, t, forms}, nil
}

// pass is the pass that forms the pattern's regions.
func (p *compiled) pass() *Pass {
	pass := &Pass{Name: "fuse-" + p.Name, Doc: p.Doc, fusion: p, run: fuse(p)}
	for _, g := range p.template.groups {
		standard := "true"
		if slices.Contains(p.Off, g) {
			standard = "false"
		}
		pass.Options = append(pass.Options, Option{g, standard, []string{"true", "false"}, "take the optional operations \"" + g + "\" into the region where they are there", nil})
	}
	pass.Options = append(pass.Options, Option{"when", "always", []string{"always", "cheaper"}, "fuse wherever possible, or where the cost model predicts a gain", nil},
		Option{"kernel", "", nil, "words of the kernel that regions get, such as one-pass; without it the cost model chooses",
			p.checkKernel})
	return pass
}

// checkKernel is an error of words that no region of the pattern can have in its kernel.
func (p *compiled) checkKernel(words string) error {
	var has []func(...ir.Op) bool
	for _, f := range p.forms {
		var most int
		for _, n := range f.nodes {
			most = max(most, len(n.ops))
		}
		for i := range most {
			has = append(has, f.operations(i))
		}
	}
	return cost.CheckPin(kernel.Pin(words), has...)
}

// operations tells which operations stand in a region of the form whose nodes take the i-th of
// theirs, or the last one where they have fewer.
func (f *form) operations(i int) func(...ir.Op) bool {
	return func(ops ...ir.Op) bool {
		return slices.ContainsFunc(f.nodes, func(n formNode) bool {
			return !n.context && slices.Contains(ops, n.ops[min(i, len(n.ops)-1)])
		})
	}
}
