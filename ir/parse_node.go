package ir

import (
	"slices"

	"foundry/ir/names"
	"strings"
)

func (p *parser) node(g *Graph, env map[string]*Value, word token) ([]*Value, error) {
	op, err := ParseOp(word.text)
	if err != nil {
		return nil, p.errorf(word, "%v", err)
	}
	var args []*Value
	for more := p.at("%"); more; more = p.at(",") {
		if len(args) > 0 {
			if err := p.next(); err != nil {
				return nil, err
			}
		}
		v, err := p.use(env)
		if err != nil {
			return nil, err
		}
		args = append(args, v)
	}
	var attr Attr
	if p.at("{") {
		if err := p.attr(op, &attr, args); err != nil {
			return nil, err
		}
	}
	var want *Type
	if p.at(":") {
		if err := p.next(); err != nil {
			return nil, err
		}
		t, err := p.typ()
		if err != nil {
			return nil, err
		}
		want = &t
	}
	label := ""
	if p.at("@") {
		if err := p.next(); err != nil {
			return nil, err
		}
		t, err := p.expect(tokString, "")
		if err != nil {
			return nil, err
		}
		label = t.text
	}
	if op == OpFused {
		return p.fused(g, args, attr, label, word)
	}
	v, err := g.Add(op, label, attr, args...)
	if err != nil {
		return nil, p.errorf(word, "%v", err)
	}
	if want != nil && *want != v.Type {
		return nil, p.errorf(word, "the line says %s, the operands make it %s", want, v.Type)
	}
	return []*Value{v}, nil
}

func (p *parser) fused(g *Graph, args []*Value, attr Attr, label string, word token) ([]*Value, error) {
	region := NewGraph("", g.Bounds)
	if err := p.body(region, true); err != nil {
		return nil, err
	}
	if len(region.Params) != len(args) {
		return nil, p.errorf(word, "the node has %d operands, its region %d", len(args), len(region.Params))
	}
	n := &Node{Op: OpFused, Args: args, Attr: attr, Label: label, Region: region, index: len(g.nodes)}
	for i, r := range region.Results {
		n.Results = append(n.Results, &Value{Type: r.Value.Type, Def: n, Index: i})
	}
	n.link()
	g.nodes = append(g.nodes, n)
	return n.Results, nil
}

// attr reads {name=value, ...}; every field of the op must stand there, unless it
// is optional.
func (p *parser) attr(op Op, a *Attr, args []*Value) error {
	open := p.tok
	if err := p.next(); err != nil {
		return err
	}
	fields := slices.Collect(op.fields())
	seen := 0
	for i := 0; i == 0 || p.at(","); i++ {
		if i > 0 {
			if err := p.next(); err != nil {
				return err
			}
		}
		name, err := p.expect(tokWord, "")
		if err != nil {
			return err
		}
		k := -1
		for j, f := range fields {
			if f.String() == name.text {
				k = j
			}
		}
		if k < 0 || seen&(1<<k) != 0 {
			return p.errorf(name, "%s has no attr %q, or it stands twice", op, name.text)
		}
		seen |= 1 << k
		if !p.at("=") {
			return p.errorf(p.tok, "want \"=\", have %s", p.tok)
		}
		start, text, err := p.lex.attrValue()
		if err != nil {
			return err
		}
		if err := fields[k].parse(a, text); err != nil {
			return p.errorf(start, "%s: %v", name.text, err)
		}
		if n := strings.Count(text, ",") + 1; fields[k] == FieldPerm && len(args) == 1 && n < MaxRank && n != int(args[0].Type.Shape.Rank) {
			return p.errorf(start, "perm has %d indices, its operand %s", n, args[0].Type)
		}
		if err := p.next(); err != nil {
			return err
		}
	}
	var names []string
	missing := false
	for j, f := range fields {
		if fieldInfos[f].optional {
			continue
		}
		names = append(names, f.String())
		missing = missing || seen&(1<<j) == 0
	}
	if missing {
		return p.errorf(open, "%s wants the attrs %s", op, strings.Join(names, ", "))
	}
	return p.punct("}")
}

func didYouMean(name string) string {
	known := make([]string, 0, numOps)
	for _, o := range Ops() {
		known = append(known, o.String())
	}
	return names.DidYouMean(name, known)
}
