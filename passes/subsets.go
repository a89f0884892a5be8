package passes

import (
	"slices"
	"strings"

	"foundry/ir/kernel"
)

// choice is one way to treat a part of the layer: a group of choices, of which a
// subset takes at most one. NAME-no-PART is the pattern without that optional part.
type choice struct {
	name  string
	calls string
	part  bool // a part of a fusion that is a choice as a whole too, and is seldom worse
	// not are sets of other choices with which this one wants the same operations, or
	// comes to nothing; "-x" is the absence of x.
	not [][]string
}

// choices lists the groups in the order their passes run, so that no two subsets
// differ in name only. Every fusion that a named variant makes is among them. elementwise
// is not: of silu and mul it makes what swiglu does, and the layer has no other chain.
var choices = [...][]choice{
	{{name: "drop-repeat-kv", calls: "drop-repeat-kv"}},
	{{name: "split-norm", calls: "split-norm", not: [][]string{
		{"-residual", "-swiglu-down", "-embedding-norm", "-attention-split-o"}, // no kernel leaves the sums
	}}},
	{
		{name: "attention", calls: onePassAttention},
		{name: "rope-attention", calls: "fuse-rope-attention", not: [][]string{{"qkv-rope-kv"}, {"qkv-rope-kv-no-norm"}, {"rope-kv"}, {"rope-qk"}}},
		{name: "attention-parts", calls: "fuse-attention{kernel=" + kernel.AttentionInParts + "}"},
		{name: "attention-split-o", calls: "fuse-attention-split-o"},
	},
	{
		{name: "bias", part: true, calls: "fuse-bias"},
		{name: "qkv-no-bias", part: true, calls: "fuse-qkv{bias=false}"},
		{name: "qkv", calls: "fuse-qkv"},
		{name: "rmsnorm-qkv", calls: "fuse-rmsnorm-qkv"},
		{name: "qkv-rope-kv-no-norm", part: true, calls: "fuse-qkv-rope-kv{norm=false}", not: [][]string{{"rope-kv"}, {"rope-qk"}}},
		{name: "qkv-rope-kv", calls: "fuse-qkv-rope-kv", not: [][]string{{"rope-kv"}, {"rope-qk"}}},
	},
	{
		{name: "rope-qk", calls: "fuse-rope-qk"},
		{name: "rope-kv", calls: "fuse-rope-kv"},
	},
	{
		{name: "gate-up-no-norm", part: true, calls: "fuse-gate-up"},
		{name: "gate-up", calls: "fuse-gate-up{norm=true}"},
		{name: "gate-up-swiglu-no-norm", calls: "fuse-gate-up-swiglu{norm=false}"},
		{name: "gate-up-swiglu", calls: "fuse-gate-up-swiglu"},
	},
	{
		{name: "swiglu", calls: "fuse-swiglu", not: [][]string{{"gate-up-swiglu"}, {"gate-up-swiglu-no-norm"}}},
		{name: "swiglu-down", calls: "fuse-swiglu-down", not: [][]string{{"gate-up-swiglu"}, {"gate-up-swiglu-no-norm"}}},
	},
	{
		{name: "residual", calls: "fuse-residual", not: [][]string{{"attention-split-o", "swiglu-down"}}},
		{name: "residual-norm", calls: "fuse-residual-norm", not: [][]string{{"split-norm"}, {"gate-up", "swiglu-down"}, {"attention-split-o", "swiglu-down"}}},
	},
	{
		{name: "head-no-norm", part: true, calls: "fuse-head{norm=false}"},
		{name: "head-no-argmax", part: true, calls: "fuse-head{argmax=false}"},
		{name: "head", calls: "fuse-head"},
	},
	{{name: "embedding-norm", calls: "fuse-embedding-norm", not: [][]string{{"-split-norm", "rmsnorm-qkv"}, {"-split-norm", "qkv-rope-kv"}}}},
}

// Subset is a legal set of fusions: each of them finds something to fuse, and no two
// want the same operations.
type Subset struct {
	Names    []string // the names of its choices
	Pipeline Pipeline
	Whole    bool // no fusion in part
}

// String joins the names with "+"; the empty subset is "unfused".
func (s Subset) String() string {
	if len(s.Names) == 0 {
		return unfused
	}
	return strings.Join(s.Names, "+")
}

// groups are the choices with those of t's own passes, each of which is made or not:
// its edits stand behind drop-repeat-kv, its patterns before the built-in ones.
func (t *Table) groups() [][]choice {
	var edits, patterns [][]choice
	for _, p := range t.own() {
		group := []choice{{name: p.Name, calls: p.Name}}
		if p.fusion == nil {
			edits = append(edits, group)
		} else {
			patterns = append(patterns, group)
		}
	}
	return slices.Concat(choices[:1], edits, choices[1:2], patterns, choices[2:])
}

// Subsets returns every legal subset of the table's fusions, the empty one first. Passes
// of one's own are among them; each doubles the number of subsets.
func (t *Table) Subsets() ([]Subset, error) {
	groups := t.groups()
	var out []Subset
	var taken []*choice
	var err error
	var descend func(group int)
	descend = func(group int) {
		if err != nil {
			return
		}
		if group == len(groups) {
			if legal(taken) {
				var s Subset
				if s, err = t.subset(taken); err == nil {
					out = append(out, s)
				}
			}
			return
		}
		descend(group + 1)
		for i := range groups[group] {
			taken = append(taken, &groups[group][i])
			descend(group + 1)
			taken = taken[:len(taken)-1]
		}
	}
	descend(0)
	return out, err
}

// legal reports whether no choice taken is ruled out by the others.
func legal(taken []*choice) bool {
	has := func(name string) bool {
		absent, negated := strings.CutPrefix(name, "-")
		return negated != slices.ContainsFunc(taken, func(t *choice) bool { return t.name == absent })
	}
	for _, c := range taken {
		for _, set := range c.not {
			if !slices.ContainsFunc(set, func(name string) bool { return !has(name) }) {
				return false
			}
		}
	}
	return true
}

func (t *Table) subset(taken []*choice) (Subset, error) {
	s := Subset{Whole: !slices.ContainsFunc(taken, func(c *choice) bool { return c.part })}
	calls := []string{prepare}
	for _, c := range taken {
		s.Names = append(s.Names, c.name)
		calls = append(calls, c.calls)
	}
	var err error
	s.Pipeline, err = t.Parse(strings.Join(append(calls, finish), ","))
	return s, err
}
