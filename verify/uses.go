package verify

import (
	"regexp"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/target"
	"foundry/lower/plan"
)

// Compiled is a plan that says where kernels are dispatched, and the name of the
// pipeline that led to it.
type Compiled struct {
	Pipeline string
	Plan     *plan.Plan
	Rung     bool // a rung of the ladder, which counts only for kernels that no other plan dispatches
}

// signature is what tells the kinds of kernels apart: the operations that a
// dispatch does, in no order, and its kernel's main.
type signature struct {
	ops  string
	main plan.Main
}

// opsOf returns the operations of a signature; views that others stand beside cost
// nothing and do not count.
func opsOf(ops []ir.Op) string {
	computes := slices.DeleteFunc(slices.Clone(ops), func(o ir.Op) bool { return o.Is(ir.View) })
	if len(computes) > 0 {
		ops = computes
	}
	names := make([]string, len(ops))
	for i, o := range ops {
		names[i] = o.String()
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// signatureOf returns a dispatch's signature.
func signatureOf(p *plan.Plan, d *plan.Dispatch) (signature, []ir.Op) {
	var ops []ir.Op
	for _, n := range d.Nodes {
		if o, err := ir.ParseOp(n.Op); err == nil {
			ops = append(ops, o)
		}
	}
	return signature{opsOf(ops), p.Kernels[d.Kernel].Main}, ops
}

// kinds finds the row of the table that a dispatch belongs to.
type kinds map[signature]*kernelKind

// kindsFor asks the compiler: every row's graphs are lowered, in its first format
// (and mixed), and what it dispatches for the row's nodes is the row's.
func kindsFor(t *target.Target) (kinds, error) {
	all, err := trials(t, false, func(k *kernelKind, format string, _ int) bool {
		return format == k.formats[0].String() || format == "mixed"
	})
	if err != nil {
		return nil, err
	}
	type lowered struct {
		plan  *plan.Plan
		entry *plan.Entry
	}
	of := map[*trial]lowered{}
	for _, b := range batches(all) {
		var graphs []*ir.Graph
		for _, s := range b.trials {
			graphs = append(graphs, s.fused)
		}
		p, err := lower(graphs, b.on.target(t), nil)
		if err != nil {
			return nil, err
		}
		for i, s := range b.trials {
			of[s] = lowered{p, &p.Entries[i]}
		}
	}
	out := kinds{}
	for _, s := range all { // in the table's order: of rows that share a kernel the first has it
		out.claim(of[s].plan, of[s].entry, s)
	}
	return out, nil
}

// claim gives a trial's row the dispatches of its nodes.
func (k kinds) claim(p *plan.Plan, e *plan.Entry, s *trial) {
	for i := range e.Steps {
		d := e.Steps[i].Dispatch
		if d == nil || !slices.ContainsFunc(s.nodes(), func(n *ir.Node) bool { return does(d, n) }) {
			continue
		}
		sig, _ := signatureOf(p, d)
		if k[sig] == nil && (s.kernel.main == nil || slices.Contains(s.kernel.main, sig.main)) {
			k[sig] = s.kernel
		}
	}
}

// does reports whether d is n or one of several dispatches of n: its operations are n's.
func does(d *plan.Dispatch, n *ir.Node) bool {
	label := n.Label
	if label == "" {
		label = n.Op.String()
	}
	if d.Label != label && !strings.HasPrefix(d.Label, label+".") {
		return false
	}
	ops := map[string]int{}
	if n.Region == nil {
		ops[n.Op.String()]++
	} else {
		for _, r := range n.Region.Nodes() {
			ops[r.Op.String()]++
		}
	}
	for _, m := range d.Nodes {
		ops[m.Op]--
	}
	for _, left := range ops {
		if left < 0 {
			return false
		}
	}
	return true
}

// kindOf returns the row of a dispatch, nil for none. Chains of elementwise operations
// are of any length.
func (k kinds) kindOf(p *plan.Plan, d *plan.Dispatch) *kernelKind {
	sig, ops := signatureOf(p, d)
	if row := k[sig]; row != nil {
		return row
	}
	if len(ops) > 1 && !slices.ContainsFunc(ops, func(o ir.Op) bool { return !o.Is(ir.Elementwise) && !o.Is(ir.View) }) {
		return kindNamed("elementwise")
	}
	return nil
}

func kindNamed(name string) *kernelKind {
	i := slices.IndexFunc(table, func(k kernelKind) bool { return k.name == name })
	return &table[i]
}

// Use is where a kernel is dispatched: a pipeline and the nodes, layers as N.
type Use struct {
	Pipeline string   `json:"pipeline"`
	Nodes    []string `json:"nodes"`
}

// usesIn returns where plans dispatch each kernel, by its name, and the dispatches
// that no row stands for.
func (k kinds) usesIn(plans []Compiled) (map[string][]Use, []string) {
	var strangers []string
	uses, rungs := map[string][]Use{}, map[string][]Use{}
	for _, c := range plans {
		to := uses
		if c.Rung {
			to = rungs
		}
		count := func(e *plan.Entry, kindOf func(*plan.Dispatch) string) {
			for _, s := range e.Steps {
				if s.Dispatch == nil {
					continue
				}
				node := layerless(s.Dispatch)
				kind := kindOf(s.Dispatch)
				if kind == "" {
					name := c.Pipeline + ": " + node + " (" + c.Plan.Kernels[s.Dispatch.Kernel].Name + ")"
					if !slices.Contains(strangers, name) {
						strangers = append(strangers, name)
					}
					continue
				}
				to[kind] = addUse(to[kind], c.Pipeline, node)
			}
		}
		for i := range c.Plan.Entries {
			count(&c.Plan.Entries[i], func(d *plan.Dispatch) string {
				if row := k.kindOf(c.Plan, d); row != nil {
					return row.name
				}
				return ""
			})
		}
		if c.Plan.Prepare != nil {
			count(c.Plan.Prepare, func(d *plan.Dispatch) string {
				if kind := preparationOf(c.Plan.Kernels[d.Kernel].Main); kind != nil {
					return kind.name
				}
				return ""
			})
		}
	}
	for name, list := range rungs {
		if uses[name] == nil {
			uses[name] = list[:1]
		}
	}
	return uses, strangers
}

func addUse(list []Use, pipeline, node string) []Use {
	i := slices.IndexFunc(list, func(u Use) bool { return u.Pipeline == pipeline })
	if i < 0 {
		i = len(list)
		list = append(list, Use{Pipeline: pipeline})
	}
	if !slices.Contains(list[i].Nodes, node) {
		list[i].Nodes = append(list[i].Nodes, node)
	}
	return list
}

// layerless is a dispatch's label with N for its layer.
func layerless(d *plan.Dispatch) string { return layerNumber.ReplaceAllString(d.Label, "layers.N.") }

var layerNumber = regexp.MustCompile(`\blayers\.[0-9]+\.`)
