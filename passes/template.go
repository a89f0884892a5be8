package passes

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"foundry/ir"
)

// A template is the text of a pattern, one operation a line, in the words of the
// graph's own text form:
//
//	?norm  h  = rms_norm|rms_scale
//	      @g  = matmul_nt h wg
//	?bias  g  = add g bg:vec
//	      y^  = mul g u
//	       .s = rope q f {start=p}
//
// A name that no line before defines is an operand from outside; the same name
// is the same value everywhere. A line may define a name anew: later lines then
// mean the newer value. Operands that do not matter are left out.
//
//	?word   the line is optional; lines of one word stand or fall together
//	@       core: a site where the core is found and the rest is not is reported
//	@@      the core line that matching starts from and that names the site; without
//	        one it is the first of the core
//	.       context: must be there, stays outside of the region
//	^       may also be used outside of the region
//	:vec    the operand has one dim        :same  it has the type of the result
//	{a=x}   the attr has the value x, as the graph's text has it; where x is no
//	        value of the attr but a word, the same value everywhere in the pattern
//
// "order q k v" makes interchangeable lines match in the graph's order; "all q k
// v" asks that no other op of their kind takes their first operand; "returned y"
// asks that y is a result of the graph.
type template struct {
	lines    []line
	groups   []string // the words of optional lines, in order
	order    [][]string
	all      [][]string
	returned []string
}

type line struct {
	name     string
	ops      []ir.Op
	args     []operand
	attrs    []attrTest
	group    string
	core     bool
	anchor   bool
	context  bool
	exported bool
}

type operand struct {
	name string
	test operandTest
}

type operandTest uint8

const (
	anyOperand operandTest = iota
	vecOperand
	sameOperand
)

// attrTest asks that an attr has a value, or the one that a word stands for.
type attrTest struct {
	field   ir.Field
	literal *ir.Attr // nil for a word
	word    string
}

var isWord = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func parseAttrTest(text string, ops []ir.Op) (t attrTest, err error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return t, fmt.Errorf("attr test %q, want attr=value", text)
	}
	if t.field, err = ir.ParseField(name); err != nil {
		return t, err
	}
	for _, o := range ops {
		if !slices.Contains(o.Info().Fields, t.field) {
			return t, fmt.Errorf("%s has no attr %s", o, t.field)
		}
	}
	literal := new(ir.Attr)
	err = t.field.Set(literal, value)
	switch {
	case err == nil:
		t.literal = literal
	case isWord.MatchString(value):
		t.word = value
	default:
		return t, fmt.Errorf("attr %s: %w, or a word", name, err)
	}
	return t, nil
}

// parseTemplate reads the text of a pattern; a mistake is the programmer's.
func parseTemplate(text string) (*template, error) {
	t := &template{}
	for raw := range strings.Lines(text) {
		if strings.TrimSpace(raw) == "" {
			continue
		}
		words := strings.Fields(raw)
		switch words[0] {
		case "order":
			t.order = append(t.order, words[1:])
			continue
		case "all":
			t.all = append(t.all, words[1:])
			continue
		case "returned":
			t.returned = append(t.returned, words[1:]...)
			continue
		}
		l, err := parseLine(words)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", strings.TrimSpace(raw), err)
		}
		if l.group != "" && !slices.Contains(t.groups, l.group) {
			t.groups = append(t.groups, l.group)
		}
		t.lines = append(t.lines, l)
	}
	return t, nil
}

func parseLine(words []string) (l line, err error) {
	if g, ok := strings.CutPrefix(words[0], "?"); ok {
		l.group, words = g, words[1:]
	}
	if len(words) < 3 || words[1] != "=" {
		return l, fmt.Errorf("want [?group] name = op operands")
	}
	l.name = words[0]
	l.name, l.anchor = strings.CutPrefix(l.name, "@@")
	if l.core = l.anchor; !l.core {
		l.name, l.core = strings.CutPrefix(l.name, "@")
	}
	l.name, l.context = strings.CutPrefix(l.name, ".")
	l.name, l.exported = strings.CutSuffix(l.name, "^")
	for _, name := range strings.Split(words[2], "|") {
		o, err := ir.ParseOp(name)
		if err != nil {
			return l, err
		}
		l.ops = append(l.ops, o)
	}
	for _, w := range words[3:] {
		if strings.HasPrefix(w, "{") {
			for _, pair := range strings.Split(strings.Trim(w, "{}"), ";") {
				t, err := parseAttrTest(pair, l.ops)
				if err != nil {
					return l, err
				}
				l.attrs = append(l.attrs, t)
			}
			continue
		}
		name, test, _ := strings.Cut(w, ":")
		a := operand{name: name}
		switch test {
		case "":
		case "vec":
			a.test = vecOperand
		case "same":
			a.test = sameOperand
		default:
			return l, fmt.Errorf("unknown operand test %q", test)
		}
		l.args = append(l.args, a)
	}
	return l, nil
}

// form is a template with each optional group decided.
type form struct {
	with    []string // groups that stand in it
	without []string // groups left out
	nodes   []formNode
	externs int    // operands from outside, numbered from 0
	vars    int    // variables of attr tests, numbered from 0
	steps   []step // the order in which nodes are found; steps[0] is the anchor
	order   [][]int
	all     [][]int
	results []int // nodes that must be results of the graph
	core    int   // nodes that make a site worth a report
}

type formNode struct {
	*line
	args  []ref
	tests []formTest
	inner bool // a node of the region takes its result
}

// formTest asks that field holds what literal does, or what a variable has elsewhere.
type formTest struct {
	field    ir.Field
	literal  *ir.Attr
	variable int // a variable, where literal is nil
}

// ref is what an operand refers to: a node of the form, or an operand from outside.
type ref struct {
	node   int // the node; -1: an extern
	extern int
	test   operandTest
}

// step finds node from what is known by then.
type step struct {
	node int
	via  viaKind
	from int // node (or extern) it is found from
	arg  int // viaProducer: which operand of from; otherwise: which operand of node
}

type viaKind uint8

const (
	viaAnchor   viaKind = iota
	viaProducer         // node makes operand arg of from
	viaUser             // node takes from's result as operand arg
	viaSibling          // node takes extern from as operand arg
)

// forms expands t into one form for each subset of the optional groups, largest
// first.
func (t *template) forms() ([]*form, error) {
	n := len(t.groups)
	var out []*form
	for mask := 1<<n - 1; mask >= 0; mask-- {
		f := &form{}
		for i, g := range t.groups {
			if mask&(1<<(n-1-i)) != 0 {
				f.with = append(f.with, g)
			} else {
				f.without = append(f.without, g)
			}
		}
		if err := t.fill(f); err != nil {
			return nil, fmt.Errorf("with %v: %w", f.with, err)
		}
		if f.size() > 1 {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b *form) int { return len(b.nodes) - len(a.nodes) })
	return out, nil
}

// size is the number of operations in the region.
func (f *form) size() int {
	n := 0
	for i := range f.nodes {
		if !f.nodes[i].context {
			n++
		}
	}
	return n
}

func (t *template) fill(f *form) error {
	defined := map[string]int{}
	externs := map[string]int{}
	vars := map[string]int{}
	for i := range t.lines {
		l := &t.lines[i]
		if l.group != "" && !slices.Contains(f.with, l.group) {
			continue
		}
		node := formNode{line: l}
		for _, a := range l.args {
			r := ref{node: -1, test: a.test}
			if d, ok := defined[a.name]; ok {
				r.node = d
			} else {
				if _, ok := externs[a.name]; !ok {
					externs[a.name] = len(externs)
				}
				r.extern = externs[a.name]
			}
			node.args = append(node.args, r)
		}
		for _, a := range l.attrs {
			if _, ok := vars[a.word]; !ok && a.literal == nil {
				vars[a.word] = len(vars)
			}
			node.tests = append(node.tests, formTest{a.field, a.literal, vars[a.word]})
		}
		defined[l.name] = len(f.nodes)
		f.nodes = append(f.nodes, node)
		if l.core {
			f.core++
		}
	}
	f.externs, f.vars = len(externs), len(vars)
	find := func(lists [][]string) (out [][]int) {
		for _, list := range lists {
			var ids []int
			for _, name := range list {
				for i, n := range f.nodes {
					if n.name == name {
						ids = append(ids, i)
						break
					}
				}
			}
			out = append(out, ids)
		}
		return out
	}
	for _, n := range f.nodes {
		for _, r := range n.args {
			if r.node >= 0 && !n.context {
				f.nodes[r.node].inner = true
			}
		}
	}
	f.order, f.all = find(t.order), find(t.all)
	for _, name := range t.returned {
		if d, ok := defined[name]; ok {
			f.results = append(f.results, d)
		}
	}
	return f.orderSteps()
}

// orderSteps chooses the order in which a match is sought: from the anchor, core nodes
// first, an operand's producer before a result's user before a sibling.
func (f *form) orderSteps() error {
	known := make([]bool, len(f.nodes))
	externs := make([]bool, f.externs)
	bind := func(s step) {
		f.steps = append(f.steps, s)
		known[s.node] = true
		for _, r := range f.nodes[s.node].args {
			if r.node < 0 {
				externs[r.extern] = true
			}
		}
	}
	anchor := slices.IndexFunc(f.nodes, func(n formNode) bool { return n.anchor })
	if anchor < 0 {
		anchor = slices.IndexFunc(f.nodes, func(n formNode) bool { return n.core })
	}
	if anchor < 0 {
		return fmt.Errorf("has no core")
	}
	bind(step{node: anchor, via: viaAnchor})
	for len(f.steps) < len(f.nodes) {
		best, rank := step{node: -1}, 99
		consider := func(s step, r int) {
			if !f.nodes[s.node].core {
				r += 10
			}
			if r < rank {
				best, rank = s, r
			}
		}
		for i, n := range f.nodes {
			for j, r := range n.args {
				switch {
				case r.node >= 0 && known[i] && !known[r.node]:
					consider(step{r.node, viaProducer, i, j}, 0)
				case r.node >= 0 && !known[i] && known[r.node]:
					consider(step{i, viaUser, r.node, j}, 1)
				case r.node < 0 && !known[i] && externs[r.extern]:
					consider(step{i, viaSibling, r.extern, j}, 20)
				}
			}
		}
		if best.node < 0 {
			return fmt.Errorf("its lines are not connected")
		}
		bind(best)
	}
	return nil
}
