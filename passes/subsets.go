package passes

import (
	"slices"
	"strings"
)

// choice is one way to treat a part of the layer: a group of choices, of which a
// subset takes at most one.
type choice struct {
	name     string
	calls    string
	excludes []string   // choices of other groups that want the same operations
	requires [][]string // of each list at least one, for the choice to come to anything
}

// choices lists the groups in the order their passes run. What one choice
// contains it also excludes, so that no two subsets differ in name only.
var choices = [...][]choice{
	{{name: "drop-repeat-kv", calls: "drop-repeat-kv"}},
	{{name: "split-norm", calls: "split-norm", requires: [][]string{
		{"residual", "swiglu-down", "gate-up+swiglu-down", "embedding-norm", "attention-split-o"},
		{"rmsnorm-qkv", "qkv-rope-kv", "gate-up-swiglu", "gate-up", "gate-up+swiglu-down", "head"},
	}}},
	{
		{name: "attention", calls: "fuse-attention"},
		{name: "rope-attention", calls: "fuse-rope-attention", excludes: []string{"qkv-rope-kv", "rope-kv", "rope-qk"}},
		{name: "attention-split", calls: "fuse-attention-split"},
		{name: "attention-split-o", calls: "fuse-attention-split-o"},
	},
	{
		{name: "qkv", calls: "fuse-qkv"},
		{name: "rmsnorm-qkv", calls: "fuse-rmsnorm-qkv"},
		{name: "qkv-rope-kv", calls: "fuse-qkv-rope-kv", excludes: []string{"rope-kv", "rope-qk"}},
	},
	{
		{name: "rope-qk", calls: "fuse-rope-qk"},
		{name: "rope-kv", calls: "fuse-rope-kv"},
	},
	{
		{name: "gate-up", calls: "fuse-gate-up{norm=true}"},
		{name: "gate-up-swiglu", calls: "fuse-gate-up-swiglu"},
		{name: "swiglu-down", calls: "fuse-swiglu-down"},
		{name: "gate-up+swiglu-down", calls: "fuse-gate-up{norm=true},fuse-swiglu-down"},
	},
	{
		{name: "residual", calls: "fuse-residual", excludes: []string{"residual-norm"}},
		{name: "residual-norm", calls: "fuse-residual-norm", excludes: []string{"split-norm"}},
	},
	{{name: "head", calls: "fuse-head"}},
	{{name: "embedding-norm", calls: "fuse-embedding-norm"}},
	{{name: "elementwise", calls: "fuse-elementwise"}},
}

// Subset is a legal set of fusions: none excludes another, and each has what it
// requires.
type Subset struct {
	Names    []string // of its choices
	Pipeline Pipeline
}

// String joins the names with "+"; the empty subset is "none".
func (s Subset) String() string {
	if len(s.Names) == 0 {
		return "none"
	}
	return strings.Join(s.Names, "+")
}

// Subsets returns every legal subset of the fusions, the empty one first.
func Subsets() ([]Subset, error) {
	var out []Subset
	var taken []*choice
	var err error
	var descend func(group int)
	descend = func(group int) {
		if err != nil {
			return
		}
		if group == len(choices) {
			if complete(taken) {
				var s Subset
				if s, err = subset(taken); err == nil {
					out = append(out, s)
				}
			}
			return
		}
		descend(group + 1)
		for i := range choices[group] {
			c := &choices[group][i]
			if !slices.ContainsFunc(taken, func(t *choice) bool { return clash(t, c) }) {
				taken = append(taken, c)
				descend(group + 1)
				taken = taken[:len(taken)-1]
			}
		}
	}
	descend(0)
	return out, err
}

func clash(a, b *choice) bool {
	return slices.Contains(a.excludes, b.name) || slices.Contains(b.excludes, a.name)
}

// complete reports whether each choice taken has what it requires.
func complete(taken []*choice) bool {
	for _, c := range taken {
		for _, any := range c.requires {
			if !slices.ContainsFunc(taken, func(t *choice) bool { return slices.Contains(any, t.name) }) {
				return false
			}
		}
	}
	return true
}

func subset(taken []*choice) (Subset, error) {
	s := Subset{}
	calls := []string{prepare}
	for _, c := range taken {
		s.Names = append(s.Names, c.name)
		calls = append(calls, c.calls)
	}
	var err error
	s.Pipeline, err = Parse(strings.Join(append(calls, finish), ","))
	return s, err
}

// Covering picks subsets so that every two choices that some subset has together,
// and every choice that some subset has without another, are met: what a test on
// a slow device runs instead of all.
func Covering(subsets []Subset) []Subset {
	var names []string
	for _, group := range choices {
		for _, c := range group {
			names = append(names, c.name)
		}
	}
	taken := make([][]int, len(subsets)) // by subset and choice, 0 or 1
	missing := make([][4]bool, len(names)*len(names))
	each := func(s []int, visit func(missing *bool)) {
		for i := range names {
			for j := range i {
				visit(&missing[i*len(names)+j][2*s[i]+s[j]])
			}
		}
	}
	left := 0
	for i, s := range subsets {
		taken[i] = make([]int, len(names))
		for j, n := range names {
			if slices.Contains(s.Names, n) {
				taken[i][j] = 1
			}
		}
		each(taken[i], func(m *bool) {
			if !*m {
				*m, left = true, left+1
			}
		})
	}
	var out []Subset
	for left > 0 {
		best, most := 0, 0
		for i := range subsets {
			n := 0
			each(taken[i], func(m *bool) {
				if *m {
					n++
				}
			})
			if n > most {
				best, most = i, n
			}
		}
		each(taken[best], func(m *bool) { *m = false })
		left -= most
		out = append(out, subsets[best])
	}
	return out
}
