package passes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"

	"foundry/ir"
)

// Pass is one row of the table of passes.
type Pass struct {
	Name    string
	Doc     string
	Options []Option
	fusion  *compiled // the pattern it forms; nil for an edit of another kind
	run     func(*run) error
	undone  ir.Op // the operation that a fusion must take up, or legalize undoes what the pass did; OpInvalid: nothing is undone
}

// Option is a setting of a pass and the values it may have.
type Option struct {
	Name    string
	Default string
	Values  []string // nil: words
	Doc     string
	Check   func(value string) error // error of words that mean nothing; nil: none
}

func (p *Pass) optionNames() []string {
	names := make([]string, len(p.Options))
	for i, o := range p.Options {
		names[i] = o.Name
	}
	return names
}

// runsOnce reports whether a second call could only repeat the first.
func (p *Pass) runsOnce() bool { return p.fusion != nil }

// Table is the passes that pipelines are made of: the edits, then a pass for each
// pattern. It never changes, and is safe for concurrent use.
type Table struct {
	passes []*Pass
	byName map[string]*Pass
}

// BuiltIn returns the table of what Foundry has.
func BuiltIn() *Table { return builtIn() }

var builtIn = sync.OnceValue(func() *Table {
	t := &Table{byName: map[string]*Pass{}}
	t.add(&Pass{Name: "canonicalize", Doc: "drops views, casts and repeats that change nothing, joins reshapes, turns transposes that move no element into reshapes, and orders the operands of commutative operations", run: canonicalize})
	t.add(&Pass{Name: "cse", Doc: "computes equal operations of equal operands once", run: cse})
	t.add(&Pass{Name: "dce", Doc: "removes operations whose results nothing uses", run: dce})
	t.add(dropRepeatKV.pass())
	t.add(&Pass{Name: "split-norm", Doc: "makes a norm of a product's sum two steps, so that the product's kernel can leave sums of squares and the norm's consumer finish them (fusion 20)", run: splitNorm, undone: ir.OpSumSquares})
	t.add(&Pass{Name: "join-norm", Doc: "makes a norm whole again that split-norm made two steps, where no kernel has taken its scaling and the cost model predicts that it is no slower so; it stands before the fusions that leave sums", run: joinNorm})
	t.add(&Pass{Name: "legalize", Doc: "joins the norms again whose sums no kernel took up, and checks what must hold before lowering", run: legalize})
	t.add(&Pass{Name: "choose-kernels", Doc: "writes on each node the kernel that the cost model chooses for it, such as kernel=\"tiles 64x64x16 ...\": lowering takes what stands there, whoever wrote it", run: chooseKernels})
	for i := range patterns {
		c, err := patterns[i].compile()
		if err != nil {
			panic("passes: " + err.Error()) // a mistake in the table is found by its first reader
		}
		t.add(c.pass())
	}
	return t
})

func (t *Table) add(p *Pass) {
	t.passes = append(t.passes, p)
	t.byName[p.Name] = p
}

// isBuiltIn reports whether a variant or a choice of the sets is called so.
func isBuiltIn(name string) bool {
	return VariantName(name) != name || slices.Contains(Variants(), name) ||
		slices.ContainsFunc(choices[:], func(c choice) bool { return c.name == name })
}

var passName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// With returns a table that has passes of one's own behind those of t: fuse-NAME for
// each pattern, and the edits. Their names work wherever those of built-in passes do.
// An error says which name is taken or none, and where a pattern's text is wrong.
func (t *Table) With(patterns []Pattern, edits []Edit) (*Table, error) {
	out := &Table{slices.Clone(t.passes), maps.Clone(t.byName)}
	own := func(name string, p *Pass) error {
		switch {
		case !passName.MatchString(name):
			return fmt.Errorf("pass %q: want a name of lower-case words with - between them", name)
		case out.byName[p.Name] != nil:
			return fmt.Errorf("pass %q is there already", p.Name)
		case isBuiltIn(name):
			return fmt.Errorf("pass %q: a variant or a fusion of a set has that name", name)
		}
		out.add(p)
		return nil
	}
	for _, e := range edits {
		if e.Consider == nil {
			return nil, fmt.Errorf("pass %q: Consider is nil", e.Name)
		}
		if err := own(e.Name, e.pass()); err != nil {
			return nil, err
		}
	}
	for _, p := range patterns {
		c, err := p.compile()
		if err != nil {
			return nil, err
		}
		if err := own(p.Name, c.pass()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Passes lists the passes of the table.
func (t *Table) Passes() []*Pass { return slices.Clone(t.passes) }

// own returns the passes that a program has added to the built-in ones.
func (t *Table) own() []*Pass { return t.passes[len(builtIn().passes):] }

// Hash changes with the passes, their options, the patterns and the sets of them that
// Subsets takes. A table with an edit of one's own has none, since nothing tells whether
// its code is the same.
func (t *Table) Hash() (string, bool) {
	h := sha256.New()
	for _, p := range builtIn().passes {
		fmt.Fprintf(h, "%s %+v\n", p.Name, p.Options)
	}
	for _, part := range [...]any{patterns, choices, chosen, ladder} {
		fmt.Fprintf(h, "%+v\n", part)
	}
	for _, p := range t.own() {
		if p.fusion == nil {
			return "", false
		}
		fmt.Fprintf(h, "%+v\n", *p.fusion.Pattern)
	}
	return hex.EncodeToString(h.Sum(nil)), true
}

func (t *Table) names() []string {
	out := make([]string, len(t.passes))
	for i, p := range t.passes {
		out[i] = p.Name
	}
	return out
}

// ordering is a constraint between two kinds of passes, with its reason.
type ordering struct {
	before, after func(*Pass) bool
	reason        string
}

func passNamed(names ...string) func(*Pass) bool {
	return func(p *Pass) bool { return slices.Contains(names, p.Name) }
}

func anyFusion(p *Pass) bool { return p.fusion != nil }

func otherFusion(names ...string) func(*Pass) bool {
	return func(p *Pass) bool { return p.fusion != nil && !slices.Contains(names, p.Name) }
}

func otherEdit(names ...string) func(*Pass) bool {
	return func(p *Pass) bool { return p.fusion == nil && !slices.Contains(names, p.Name) }
}

var orders = [...]ordering{
	{passNamed("canonicalize"), anyFusion, "patterns are written for canonical graphs"},
	{passNamed("cse"), anyFusion, "a repeated operation counts as a second use and keeps patterns from matching"},
	{passNamed("drop-repeat-kv"), anyFusion, "a region that holds the copy of the cache would be lowered with it"},
	{passNamed("split-norm"), anyFusion, "the sums must stand in the graph for the product's kernel to take them up"},
	{otherFusion("fuse-elementwise"), passNamed("fuse-elementwise"), "a chain would take up what others want as a prologue or an epilogue"},
	{otherEdit("choose-kernels"), passNamed("choose-kernels"), "a kernel is chosen for operands as they lie, which edits change"},
	{anyFusion, passNamed("choose-kernels"), "a kernel is chosen for operands as they lie, which fusions change"},
	{otherEdit("legalize", "choose-kernels"), passNamed("legalize"), "it checks what they leave"},
	{anyFusion, passNamed("legalize"), "it checks the regions"},
}
