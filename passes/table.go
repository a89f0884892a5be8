package passes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
)

// Pass is one row of the table of passes.
type Pass struct {
	Name    string
	Doc     string
	Options []Option
	pattern string // the pattern it forms; empty for an edit of another kind
	run     func(*run) error
}

// Option is a setting of a pass and the values it may have.
type Option struct {
	Name    string
	Default string
	Values  []string
	Doc     string
}

func (p *Pass) optionNames() []string {
	names := make([]string, len(p.Options))
	for i, o := range p.Options {
		names[i] = o.Name
	}
	return names
}

// once reports whether a second call could only repeat the first.
func (p *Pass) once() bool { return p.pattern != "" }

// All returns the table: the edits, then a pass for each pattern.
var All = sync.OnceValue(func() []*Pass {
	out := []*Pass{
		{Name: "canonicalize", Doc: "drops views, casts and repeats that change nothing, joins reshapes, turns transposes that move no element into reshapes, and orders the operands of commutative operations", run: canonicalize},
		{Name: "cse", Doc: "computes equal operations of equal operands once", run: cse},
		{Name: "dce", Doc: "removes operations whose results nothing uses", run: dce},
		{Name: "drop-repeat-kv", Doc: "lets the products of attention index the heads of the cache that repeat_kv would copy (fusion 12)", run: dropRepeatKV},
		{Name: "split-norm", Doc: "makes a norm of a product's sum two steps, so that the product's kernel can leave sums of squares and the norm's consumer finish them (fusion 20)", run: splitNorm},
		{Name: "cut-softmax", Doc: "gives the rows of a softmax that stands alone to several threadgroups each, and a merge, where the cost model predicts that to be faster", run: cutSoftmax},
		{Name: "legalize", Doc: "joins the norms again whose sums no kernel took up, and checks what must hold before lowering", run: legalize},
	}
	for _, p := range patterns {
		c := compilePatterns()[p.Name]
		pass := &Pass{Name: "fuse-" + p.Name, Doc: p.Doc, pattern: p.Name, run: fuse(c)}
		for _, g := range c.template.groups {
			standard := "true"
			if slices.Contains(p.Off, g) {
				standard = "false"
			}
			pass.Options = append(pass.Options, Option{g, standard, []string{"true", "false"}, "take the optional operations \"" + g + "\" into the region where they are there"})
		}
		pass.Options = append(pass.Options, Option{"when", "always", []string{"always", "cheaper"}, "fuse wherever possible, or where the cost model predicts a gain"})
		out = append(out, pass)
	}
	return out
})

func find(name string) *Pass {
	for _, p := range All() {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// TableHash changes with the passes, their options, the patterns and the sets of
// them that Subsets takes.
func TableHash() string {
	h := sha256.New()
	for _, p := range All() {
		fmt.Fprintf(h, "%s %+v\n", p.Name, p.Options)
	}
	fmt.Fprintf(h, "%+v\n%+v\n%s\n%+v", patterns, choices, chosen, ladder)
	return hex.EncodeToString(h.Sum(nil))
}

func passNames() []string {
	names := make([]string, len(All()))
	for i, p := range All() {
		names[i] = p.Name
	}
	return names
}

// ordering is a constraint between two kinds of passes, with its reason.
type ordering struct {
	before, after func(*Pass) bool
	reason        string
}

func named(names ...string) func(*Pass) bool {
	return func(p *Pass) bool { return slices.Contains(names, p.Name) }
}

func anyFusion(p *Pass) bool { return p.pattern != "" }

func otherFusion(names ...string) func(*Pass) bool {
	return func(p *Pass) bool { return p.pattern != "" && !slices.Contains(names, p.Name) }
}

var orders = [...]ordering{
	{named("canonicalize"), anyFusion, "patterns are written for canonical graphs"},
	{named("cse"), anyFusion, "a repeated operation counts as a second use and keeps patterns from matching"},
	{named("drop-repeat-kv"), anyFusion, "a region that holds the copy of the cache would be lowered with it"},
	{named("split-norm"), anyFusion, "the sums must stand in the graph for the product's kernel to take them up"},
	{otherFusion("fuse-elementwise"), named("fuse-elementwise"), "a chain would take up what others want as a prologue or an epilogue"},
	{anyFusion, named("cut-softmax"), "a softmax that a region takes up is not cut"},
	{named("canonicalize", "cse", "dce", "drop-repeat-kv", "split-norm", "cut-softmax"), named("legalize"), "it checks what they leave"},
	{anyFusion, named("legalize"), "it checks the regions"},
}
