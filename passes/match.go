package passes

import (
	"fmt"
	"slices"
	"strings"

	"foundry/ir"
)

// matcher seeks one form of a pattern from one anchor.
type matcher struct {
	form  *form
	bound []*op
	swap  []bool // the op's two operands stand in the other order
	ext   []*val
	vars  map[string]string
	miss  miss
}

// miss is the furthest that a match came, and what was in the way.
type miss struct {
	depth int // nodes bound
	core  int // of them core nodes
	why   func() string
}

func newMatcher(f *form) *matcher {
	return &matcher{form: f, bound: make([]*op, len(f.nodes)), swap: make([]bool, len(f.nodes))}
}

// match seeks the form with its anchor at o. It returns the ops by node of the
// form, or why there is no match; the matcher may be used again.
func (m *matcher) match(o *op) ([]*op, *miss) {
	clear(m.bound)
	clear(m.swap)
	m.ext, m.vars, m.miss = make([]*val, m.form.externs), nil, miss{depth: -1}
	if m.bind(0, o) {
		return m.bound, nil
	}
	return nil, &m.miss
}

func (m *matcher) fail(depth int, why func() string) bool {
	if depth > m.miss.depth {
		core := 0
		for _, st := range m.form.steps[:depth] {
			if m.form.nodes[st.node].core {
				core++
			}
		}
		m.miss = miss{depth, core, why}
	}
	return false
}

// next goes on with step s; the nodes of the steps before it are bound.
func (m *matcher) next(s int) bool {
	if s == len(m.form.steps) {
		return m.finish()
	}
	st := m.form.steps[s]
	n := &m.form.nodes[st.node]
	switch st.via {
	case viaProducer:
		user := m.bound[st.from]
		v := m.operand(st.from, st.arg)
		if v.def == nil {
			return m.fail(s, func() string {
				return fmt.Sprintf("%s takes %s, wants %s there", user.name(), v.name(), n.kinds())
			})
		}
		if m.bind(s, v.def) {
			return true
		}
		return m.fail(s, func() string {
			return fmt.Sprintf("%s takes %s, wants %s there", user.name(), v.def.name(), n.kinds())
		})
	case viaUser:
		from := m.bound[st.from]
		return m.among(s, from.out.users, func() string {
			return fmt.Sprintf("no %s takes the result of %s%s", n.kinds(), from.name(), usedBy(from.out, nil))
		})
	default:
		v := m.ext[st.from]
		return m.among(s, v.users, func() string {
			return fmt.Sprintf("no other %s takes %s", n.kinds(), v.name())
		})
	}
}

func (m *matcher) among(s int, users []*op, why func() string) bool {
	for i, u := range users {
		if !slices.Contains(users[:i], u) && m.bind(s, u) {
			return true
		}
	}
	return m.fail(s, why)
}

// operand returns what stands in the place of operand arg of the form's node.
func (m *matcher) operand(node, arg int) *val {
	if m.swap[node] {
		arg = 1 - arg
	}
	return m.bound[node].args[arg]
}

// bind tries o as the node of step s and goes on from there.
func (m *matcher) bind(s int, o *op) bool {
	i := m.form.steps[s].node
	n := &m.form.nodes[i]
	if !slices.Contains(n.ops, o.node.Op) || slices.Contains(m.bound, o) || len(o.args) < len(n.args) {
		return false
	}
	vars := m.vars
	if slices.Contains(m.form.results, i) && !o.out.returned || !m.attrs(s, n, o) || !m.ordered(i, o) {
		m.vars = vars
		return false
	}
	for _, swapped := range [...]bool{false, true} {
		if swapped && (len(n.args) == 0 || len(o.args) != 2 || !o.node.Op.Is(ir.Commutative)) {
			break
		}
		m.bound[i], m.swap[i] = o, swapped
		before := m.ext
		if m.fits(s, i) && m.next(s+1) {
			return true
		}
		m.ext = before
	}
	m.bound[i], m.swap[i], m.vars = nil, false, vars
	return false
}

// fits checks the operands of the node just bound, and that it makes what the
// bound nodes want of it; it binds operands from outside.
func (m *matcher) fits(s, i int) bool {
	n := &m.form.nodes[i]
	o := m.bound[i]
	copied := false
	for j, r := range n.args {
		v := m.operand(i, j)
		switch {
		case r.test == vecOperand && v.typ.Shape.Rank != 1:
			return m.fail(s, func() string { return fmt.Sprintf("%s takes %s, wants a vector", o.name(), v.typ) })
		case r.test == sameOperand && v.typ != o.out.typ:
			return m.fail(s, func() string { return fmt.Sprintf("%s takes %s, wants %s", o.name(), v.typ, o.out.typ) })
		case r.node >= 0:
			if b := m.bound[r.node]; b != nil && b.out != v {
				return m.fail(s, func() string {
					return fmt.Sprintf("%s takes %s, wants the result of %s", o.name(), v.name(), b.name())
				})
			}
		case m.ext[r.extern] == nil:
			if !copied {
				m.ext, copied = slices.Clone(m.ext), true
			}
			m.ext[r.extern] = v
		case m.ext[r.extern] != v:
			have := m.ext[r.extern]
			return m.fail(s, func() string { return fmt.Sprintf("%s takes %s, wants %s", o.name(), v.name(), have.name()) })
		}
	}
	for k := range m.form.nodes {
		if k == i || m.bound[k] == nil {
			continue
		}
		for j, r := range m.form.nodes[k].args {
			if r.node == i && m.operand(k, j) != o.out {
				return false
			}
		}
	}
	return true
}

func (m *matcher) attrs(s int, n *formNode, o *op) bool {
	for _, t := range n.attrs {
		have := attrGetters[t.field](&o.node.Attr)
		want := t.value
		if isVariable(want) {
			bound, ok := m.vars[want]
			if !ok {
				vars := make(map[string]string, len(m.vars)+1)
				for k, v := range m.vars {
					vars[k] = v
				}
				vars[want] = have
				m.vars = vars
				continue
			}
			want = bound
		}
		if have != want {
			return m.fail(s, func() string {
				return fmt.Sprintf("%s has %s=%s, wants %s", o.name(), t.field, have, want)
			})
		}
	}
	return true
}

func isVariable(s string) bool { return s[0] >= 'a' && s[0] <= 'z' && s != "true" && s != "false" }

// ordered reports whether o may stand for node i next to those bound in an
// order list.
func (m *matcher) ordered(i int, o *op) bool {
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

// finish checks what concerns the match as a whole.
func (m *matcher) finish() bool {
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
		if !foremost {
			return false // the site is reported at its first op
		}
		if count != len(list) {
			return m.fail(depth, func() string {
				return fmt.Sprintf("%d %s take %s, wants exactly %d", count, first.node.Op, v.name(), len(list))
			})
		}
	}
	for i := range m.form.nodes {
		if n := &m.form.nodes[i]; n.context || n.exported || !m.inner(i) {
			continue
		}
		if o := m.bound[i]; o.out.returned || slices.ContainsFunc(o.out.users, func(u *op) bool { return !m.member(u) }) {
			others := usedBy(o.out, m.member)
			return m.fail(depth, func() string { return o.name() + " has a second use" + others })
		}
	}
	return true
}

// inner reports whether a node of the region takes node i's result.
func (m *matcher) inner(i int) bool {
	for k := range m.form.nodes {
		for _, r := range m.form.nodes[k].args {
			if r.node == i && !m.form.nodes[k].context {
				return true
			}
		}
	}
	return false
}

func (m *matcher) member(o *op) bool {
	i := slices.Index(m.bound, o)
	return i >= 0 && !m.form.nodes[i].context
}

func (n *formNode) kinds() string {
	names := make([]string, len(n.ops))
	for i, o := range n.ops {
		names[i] = o.String()
	}
	return strings.Join(names, " or ")
}

// usedBy lists who uses v, but for those that except names, as " (used by ...)".
func usedBy(v *val, except func(*op) bool) string {
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
func (v *val) name() string {
	if v.def != nil {
		return v.def.name()
	}
	return fmt.Sprintf("%s %q", v.param.Kind, shortLabel(v.param.Name))
}
