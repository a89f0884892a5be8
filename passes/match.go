package passes

import (
	"fmt"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/names"
)

// matcher seeks one form of a pattern from one anchor after another.
type matcher struct {
	form  *form
	bound []*op
	swap  []bool       // the op's two operands stand in the other order
	ext   []*flatValue // operands from outside
	vars  []attrValue  // values of the attr variables
	undo  []int        // bindings to be undone: externs, and variables below zero
	miss  miss
	quiet bool // nobody asks why there is no match
}

// attrValue is what a field of some node's attrs holds; attr is nil for nothing.
type attrValue struct {
	field ir.Field
	attr  *ir.Attr
}

func (v attrValue) String() string { return v.field.Format(v.attr) }

// miss is the furthest that a match came, and what was in the way.
type miss struct {
	depth int // the number of nodes bound
	core  int // the number of core nodes among them
	why   func() string
	taken bool // nodes that another fusion has taken
	lacks bool // a region that can be formed, and has no kernel
}

func newMatcher(f *form) *matcher {
	return &matcher{
		form: f, bound: make([]*op, len(f.nodes)), swap: make([]bool, len(f.nodes)),
		ext: make([]*flatValue, f.externs), vars: make([]attrValue, f.vars),
	}
}

// match seeks the form with its anchor at o. It returns the ops by node of the
// form, or why there is no match, which nobody asks where quiet; both are good until the
// next call.
func (m *matcher) match(o *op, quiet bool) ([]*op, *miss) {
	m.quiet = quiet
	clear(m.bound)
	clear(m.swap)
	clear(m.ext)
	clear(m.vars)
	m.undo, m.miss = m.undo[:0], miss{depth: -1}
	if m.bind(0, o) {
		return m.bound, nil
	}
	return nil, &m.miss
}

// isDeeper reports whether a failure at depth is news.
func (m *matcher) isDeeper(depth int) bool { return !m.quiet && depth > m.miss.depth }

// noteMiss records why the match ended at depth; why is called later, so it must not
// look at what is bound.
func (m *matcher) noteMiss(depth int, why func() string) {
	core := 0
	for _, st := range m.form.steps[:depth] {
		if m.form.nodes[st.node].core {
			core++
		}
	}
	m.miss = miss{depth: depth, core: core, why: why}
}

// matchStep goes on with step s; the nodes of the steps before it are bound.
func (m *matcher) matchStep(s int) bool {
	if s == len(m.form.steps) {
		return m.wholeFits()
	}
	st := m.form.steps[s]
	n := &m.form.nodes[st.node]
	switch st.via {
	case viaProducer:
		user, v := m.bound[st.from], m.operand(st.from, st.arg)
		if v.def != nil && m.bind(s, v.def) {
			return true
		}
		if m.isDeeper(s) {
			taken := v.def != nil && slices.Contains(m.bound, v.def)
			m.noteMiss(s, func() string {
				if taken {
					return fmt.Sprintf("%s takes %s, which stands in another place of the pattern already", user.name(), v.name())
				}
				return fmt.Sprintf("%s takes %s; the pattern wants %s there", user.name(), v.name(), n.opNames())
			})
		}
	case viaUser:
		from := m.bound[st.from]
		if m.bindAny(s, from.out.users) {
			return true
		}
		if m.isDeeper(s) {
			m.noteMiss(s, func() string {
				return fmt.Sprintf("no %s takes the result of %s%s", n.opNames(), from.name(), usedBy(from.out, nil))
			})
		}
	default:
		v := m.ext[st.from]
		if m.bindAny(s, v.users) {
			return true
		}
		if m.isDeeper(s) {
			m.noteMiss(s, func() string { return fmt.Sprintf("no other %s takes %s", n.opNames(), v.name()) })
		}
	}
	return false
}

// bindAny tries each of users as the node of step s.
func (m *matcher) bindAny(s int, users []*op) bool {
	for i, u := range users {
		if !slices.Contains(users[:i], u) && m.bind(s, u) {
			return true
		}
	}
	return false
}

// operand returns what stands in the place of operand arg of the form's node.
func (m *matcher) operand(node, arg int) *flatValue {
	if m.swap[node] {
		arg = 1 - arg
	}
	return m.bound[node].args[arg]
}

// bind tries o as the node of step s and goes on from there.
func (m *matcher) bind(s int, o *op) bool {
	i := m.form.steps[s].node
	n := &m.form.nodes[i]
	if !slices.Contains(n.ops, o.node.Op) || len(o.args) < len(n.args) || slices.Contains(m.bound, o) ||
		slices.Contains(m.form.results, i) && !o.out.returned || !m.inOrder(i, o) {
		return false
	}
	mark := len(m.undo)
	for _, swapped := range [...]bool{false, true} {
		if swapped && (len(n.args) == 0 || len(o.args) != 2 || !o.node.Op.Is(ir.Commutative)) {
			break
		}
		m.bound[i], m.swap[i] = o, swapped
		if m.attrsFit(s, n, o) && m.operandsFit(s, i) && m.matchStep(s+1) {
			return true
		}
		m.unbind(mark)
	}
	m.bound[i], m.swap[i] = nil, false
	return false
}

// unbind undoes what was bound since mark.
func (m *matcher) unbind(mark int) {
	for _, u := range m.undo[mark:] {
		if u < 0 {
			m.vars[-1-u] = attrValue{}
		} else {
			m.ext[u] = nil
		}
	}
	m.undo = m.undo[:mark]
}

// attrsFit checks the attrs of o, which stands for n, and binds variables.
func (m *matcher) attrsFit(s int, n *formNode, o *op) bool {
	for i := range n.tests {
		t := &n.tests[i]
		have, want := attrValue{t.field, &o.node.Attr}, attrValue{t.field, t.literal}
		if t.literal == nil {
			if want = m.vars[t.variable]; want.attr == nil {
				m.vars[t.variable] = have
				m.undo = append(m.undo, -1-t.variable)
				continue
			}
		}
		if have.field.Same(have.attr, want.field, want.attr) {
			continue
		}
		if m.isDeeper(s) {
			m.noteMiss(s, func() string { return fmt.Sprintf("%s has %s=%s; the pattern wants %s", o.name(), t.field, have, want) })
		}
		return false
	}
	return true
}

// operandsFit checks the operands of the node just bound, and that it makes what the
// bound nodes want of it; it binds operands from outside.
func (m *matcher) operandsFit(s, i int) bool {
	o := m.bound[i]
	for j, r := range m.form.nodes[i].args {
		v := m.operand(i, j)
		var wants string
		switch {
		case r.test == vecOperand && v.typ.Shape.Rank != 1:
			wants = "a vector"
		case r.test == sameOperand && v.typ != o.out.typ:
			wants = "an operand of the result's type"
		case r.node >= 0:
			if b := m.bound[r.node]; b != nil && b.out != v {
				wants = "the result of " + b.name()
			}
		case m.ext[r.extern] == nil:
			m.ext[r.extern] = v
			m.undo = append(m.undo, r.extern)
		case m.ext[r.extern] != v:
			wants = m.ext[r.extern].name()
		}
		if wants != "" {
			if m.isDeeper(s) {
				m.noteMiss(s, func() string { return fmt.Sprintf("%s takes %s; the pattern wants %s", o.name(), v.name(), wants) })
			}
			return false
		}
	}
	for k := range m.form.nodes {
		if k == i || m.bound[k] == nil {
			continue
		}
		for j, r := range m.form.nodes[k].args {
			v := m.operand(k, j)
			if r.node != i || v == o.out {
				continue
			}
			if user := m.bound[k]; m.isDeeper(s) {
				m.noteMiss(s, func() string {
					return fmt.Sprintf("%s takes %s; the pattern wants %s", user.name(), v.name(), o.name())
				})
			}
			return false
		}
	}
	return true
}

// inOrder reports whether o may stand for node i next to those bound in an
// order list.
func (m *matcher) inOrder(i int, o *op) bool {
	for _, list := range m.form.order {
		at := slices.Index(list, i)
		if at < 0 {
			continue
		}
		for j, k := range list {
			if b := m.bound[k]; b != nil && (j < at) != (b.index < o.index) {
				return false
			}
		}
	}
	return true
}

// wholeFits checks what concerns the match as a whole.
func (m *matcher) wholeFits() bool {
	depth := len(m.form.steps)
	for _, list := range m.form.all {
		first := m.bound[list[0]]
		v := m.operand(list[0], 0)
		count, foremost := 0, true
		for _, u := range v.users {
			if u.node.Op == first.node.Op {
				count++
				foremost = foremost && u.index >= first.index
			}
		}
		if !foremost { // the site is reported at its first op, here nothing is
			m.miss = miss{depth: depth + 1, core: -1}
			return false
		}
		if count != len(list) {
			if m.isDeeper(depth) {
				m.noteMiss(depth, func() string {
					return fmt.Sprintf("%d %s take %s; the pattern wants exactly %d", count, first.node.Op, v.name(), len(list))
				})
			}
			return false
		}
	}
	for i := range m.form.nodes {
		n := &m.form.nodes[i]
		if n.context || n.exported || !n.inner {
			continue
		}
		o := m.bound[i]
		if !o.out.returned && !slices.ContainsFunc(o.out.users, func(u *op) bool { return !m.member(u) }) {
			continue
		}
		if m.isDeeper(depth) {
			others := usedBy(o.out, m.member)
			m.noteMiss(depth, func() string { return o.name() + " has a second use" + others })
		}
		return false
	}
	return true
}

func (m *matcher) member(o *op) bool {
	i := slices.Index(m.bound, o)
	return i >= 0 && !m.form.nodes[i].context
}

func (n *formNode) opNames() string {
	names := make([]string, len(n.ops))
	for i, o := range n.ops {
		names[i] = o.String()
	}
	return strings.Join(names, " or ")
}

// usedBy lists who uses v, but for those that except names, as " (used by ...)".
func usedBy(v *flatValue, except func(*op) bool) string {
	var names []string
	for _, u := range v.users {
		if except == nil || !except(u) {
			names = append(names, u.name())
		}
	}
	if v.returned {
		names = append(names, "the graph's results")
	}
	if len(names) == 0 {
		return ""
	}
	if len(names) > 3 {
		names = append(names[:2], fmt.Sprintf("%d more", len(names)-2))
	}
	return " (used by " + strings.Join(names, ", ") + ")"
}

// name is how messages speak of a value.
func (v *flatValue) name() string {
	if v.def != nil {
		return v.def.name()
	}
	return fmt.Sprintf("%s %q", v.param.Kind, names.InLayer(v.param.Name))
}
