package passes

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/kernel"
)

// choice is one call that a set may hold. NAME-no-PART is the pattern without that
// optional part.
type choice struct {
	name  string
	calls string
	part  bool // a part of a fusion that is a choice as a whole too, and is seldom worse
}

// choices lists them in the order their passes run: behind edits, what takes more before
// what it contains. Which go together a graph says, and which are two ways to the same.
// Every fusion that a named variant makes is among them. elementwise is not: of silu and
// mul it makes what swiglu does, and the layer has no other chain.
var choices = [...]choice{
	{name: "drop-repeat-kv", calls: "drop-repeat-kv"},
	{name: "split-norm", calls: "split-norm"},

	{name: "attention-split-o", calls: "fuse-attention-split-o"},
	{name: "rope-attention", calls: "fuse-rope-attention"},
	{name: "attention", calls: onePassAttention},
	{name: "attention-parts", calls: "fuse-attention{kernel=" + kernel.AttentionInParts + "}"},

	{name: "qkv-rope-kv", calls: "fuse-qkv-rope-kv"},
	{name: "qkv-rope-kv-no-norm", part: true, calls: "fuse-qkv-rope-kv{norm=false}"},
	{name: "rmsnorm-qkv", calls: "fuse-rmsnorm-qkv"},
	{name: "qkv", calls: "fuse-qkv"},
	{name: "qkv-no-bias", part: true, calls: "fuse-qkv{bias=false}"},
	{name: "bias", part: true, calls: "fuse-bias"},
	{name: "rope-kv", calls: "fuse-rope-kv"},
	{name: "rope-qk", calls: "fuse-rope-qk"},

	{name: "gate-up-swiglu", calls: "fuse-gate-up-swiglu"},
	{name: "gate-up-swiglu-no-norm", calls: "fuse-gate-up-swiglu{norm=false}"},
	{name: "gate-up", calls: "fuse-gate-up{norm=true}"},
	{name: "gate-up-no-norm", part: true, calls: "fuse-gate-up"},
	{name: "swiglu-down", calls: "fuse-swiglu-down"},
	{name: "swiglu", calls: "fuse-swiglu"},

	{name: "residual", calls: "fuse-residual"},
	{name: "residual-norm", calls: "fuse-residual-norm"},

	{name: "head", calls: "fuse-head"},
	{name: "head-no-norm", part: true, calls: "fuse-head{norm=false}"},
	{name: "head-no-argmax", part: true, calls: "fuse-head{argmax=false}"},
	{name: "embedding-norm", calls: "fuse-embedding-norm"},
}

// Subset is a set of fusions that is legal for a graph: each of them forms a region there
// that no other takes from it.
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

// choices are those of sets of the table's passes: its own edits stand behind
// drop-repeat-kv, its own patterns before the built-in ones.
func (t *Table) choices() (edits, fusions []parsedChoice, err error) {
	all := slices.Clone(choices[:1])
	for _, isFusion := range []bool{false, true} {
		for _, p := range t.own() {
			if (p.fusion != nil) == isFusion {
				all = append(all, choice{name: p.Name, calls: p.Name})
			}
		}
		if !isFusion {
			all = append(all, choices[1])
		}
	}
	for _, c := range append(all, choices[2:]...) {
		call, err := t.parseCall(c.calls)
		if err != nil {
			return nil, nil, err
		}
		if p := (parsedChoice{c, call}); call.Pass.fusion == nil {
			edits = append(edits, p)
		} else {
			fusions = append(fusions, p)
		}
	}
	return edits, fusions, nil
}

// parsedChoice is a choice with its call.
type parsedChoice struct {
	choice
	call Call
}

// Subsets returns every set of the table's fusions that is legal for one of graphs, the
// empty one first: those whose regions are the same in all of them once, of equals the one
// of whole fusions. Passes of one's own are among them. cx gives target and predicate: what
// cannot be lowered is no region.
//
// A fusion can form a region where its pattern matches and no other region holds part
// of what it takes: two that can take the same operation are rivals, of which the earlier
// one has it. So sets follow from what each pattern would take of a graph by itself, and no
// pass has to run for them.
func (t *Table) Subsets(cx *Context, graphs ...*ir.Graph) ([]Subset, error) {
	edits, fusions, err := t.choices()
	if err != nil {
		return nil, err
	}
	s := subsets{fusions: fusions, at: map[[sha256.Size]byte]int{}}
	for _, text := range [...]struct {
		calls string
		into  *Pipeline
	}{{prepare, &s.prepare}, {finish, &s.finish}} {
		if *text.into, err = t.Parse(text.calls); err != nil {
			return nil, err
		}
	}
	for range graphs {
		s.walks = append(s.walks, newEnumeration(cx))
	}
	for i := range s.prepare {
		if graphs, _, err = s.advance(graphs, s.prepare, i); err != nil {
			return nil, err
		}
	}
	if err := s.edited(graphs, edits, nil); err != nil {
		return nil, err
	}
	return s.out, nil
}

// subsets is a walk over sets of fusions.
type subsets struct {
	prepare, finish Pipeline
	fusions         []parsedChoice
	walks           []*enumeration // each graph's
	edits           []parsedChoice // those taken
	claimed         []*territory   // the graphs behind them
	out             []Subset
	at              map[[sha256.Size]byte]int // set by the regions that it makes
}

// advance runs call i of p over each graph; changed reports whether one is another then.
func (s *subsets) advance(graphs []*ir.Graph, p Pipeline, i int) (out []*ir.Graph, changed bool, err error) {
	for j, g := range graphs {
		next, err := s.walks[j].advance(g, p, i)
		if err != nil {
			return nil, false, err
		}
		out, changed = append(out, next), changed || next != g
	}
	return out, changed, nil
}

// edited goes on with each choice of the edits that are left, those that change something.
func (s *subsets) edited(graphs []*ir.Graph, left, taken []parsedChoice) error {
	if len(left) > 0 {
		if err := s.edited(graphs, left[1:], taken); err != nil {
			return err
		}
		next, changed, err := s.advance(graphs, Pipeline{left[0].call}, 0)
		if err != nil || !changed {
			return err
		}
		return s.edited(next, left[1:], append(slices.Clone(taken), left[0]))
	}
	s.edits, s.claimed = taken, nil
	held := make([]holding, len(graphs))
	for i, g := range graphs {
		r, err := newRun(g, s.walks[i].context)
		if err != nil {
			return err
		}
		t := r.claims(s.fusions)
		s.claimed, held[i] = append(s.claimed, t), t.unclaimed()
	}
	s.fused(held, 0, nil)
	return nil
}

// fused goes on with each choice of the fusions from one on: without it, and with it where
// it forms a region and leaves one to each that is taken.
func (s *subsets) fused(held []holding, from int, taken []int) {
	if from == len(s.fusions) {
		s.note(held, taken)
		return
	}
	s.fused(held, from+1, taken)
	if next := s.take(held, from, taken); next != nil {
		s.fused(next, from+1, append(slices.Clone(taken), from))
	}
}

// take returns who holds what once fusion i has run behind those taken, nil where it comes
// to nothing, leaves nothing to another, or where its pass stands in the pipeline already.
func (s *subsets) take(held []holding, i int, taken []int) []holding {
	for _, t := range taken {
		if s.fusions[t].call.Pass == s.fusions[i].call.Pass {
			return nil
		}
	}
	out := make([]holding, len(held))
	for j := range held {
		out[j] = s.claimed[j].take(held[j], i)
	}
	for _, t := range append(taken[:len(taken):len(taken)], i) {
		if !slices.ContainsFunc(out, func(h holding) bool { return h.holds(t) }) {
			return nil
		}
	}
	return out
}

// note adds the set of the fusions taken, unless an edit comes to nothing in it, or it
// makes what another does.
func (s *subsets) note(held []holding, taken []int) {
	set := Subset{Whole: true, Pipeline: slices.Clone(s.prepare)}
	h := sha256.New()
	for _, e := range s.edits {
		if op := e.call.Pass.undone; op != ir.OpInvalid && !s.holdAny(held, op) {
			return
		}
		set.add(e)
		fmt.Fprintln(h, e.name)
	}
	for _, t := range taken {
		set.add(s.fusions[t])
	}
	set.Pipeline = append(set.Pipeline, s.finish...)
	for i, t := range s.claimed {
		h.Write(t.appendHeld(nil, held[i]))
	}
	key := [sha256.Size]byte(h.Sum(nil))
	if i, met := s.at[key]; !met {
		s.at[key] = len(s.out)
		s.out = append(s.out, set)
	} else if set.Whole && !s.out[i].Whole {
		s.out[i] = set
	}
}

// holdAny reports whether a region holds an operation of the kind.
func (s *subsets) holdAny(held []holding, kind ir.Op) bool {
	for i, t := range s.claimed {
		if slices.ContainsFunc(t.view.byOp[kind], func(o *op) bool { return held[i].of[o.index] != 0 }) {
			return true
		}
	}
	return false
}

func (s *Subset) add(c parsedChoice) {
	s.Names, s.Pipeline, s.Whole = append(s.Names, c.name), append(s.Pipeline, c.call), s.Whole && !c.part
}
