package passes

import (
	"fmt"
	"sync"
)

// Pattern is a fusion as data: the operations of the region it forms, as the
// text that template describes.
type Pattern struct {
	Name    string // of the region: the attr "pattern" of the fused node
	Label   string // of the fused node, behind the layer; "": the core's own
	Doc     string // what it saves, in one sentence
	Fusions []int  // its numbers in the table of known fusions
	Text    string
	Off     []string // optional groups that are off unless the pass is told otherwise
	Rivals  []string // patterns that want some of the same operations
	Grow    bool     // regions of the pattern may join a larger one
}

// compiled is a pattern ready to match.
type compiled struct {
	*Pattern
	template *template
	forms    []*form
}

// compilePatterns compiles the table once; a mistake in it is a programmer's and
// is found by the first caller.
var compilePatterns = sync.OnceValue(func() map[string]*compiled {
	out := make(map[string]*compiled, len(patterns))
	for i := range patterns {
		p := &patterns[i]
		t, err := parseTemplate(p.Text)
		if err != nil {
			panic(fmt.Sprintf("passes: pattern %s: %v", p.Name, err))
		}
		forms, err := t.forms()
		if err != nil {
			panic(fmt.Sprintf("passes: pattern %s: %v", p.Name, err))
		}
		out[p.Name] = &compiled{p, t, forms}
	}
	return out
})
