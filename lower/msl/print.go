package msl

import "strconv"

// Print is the text of statements, each on lines of its own that begin so many blocks deep.
func Print(list []Statement, depth int) string {
	p := printer{text: make([]byte, 0, 6<<10), depth: depth}
	p.list(list)
	return string(p.text)
}

// String is the text of v.
func (v *Value) String() string {
	if v.op <= opVariable {
		return v.text
	}
	return string(v.whole(nil))
}

type printer struct {
	text  []byte
	depth int
}

func (p *printer) list(list []Statement) {
	for _, s := range list {
		p.statement(s)
	}
}

func (p *printer) put(parts ...string) {
	for _, s := range parts {
		p.text = append(p.text, s...)
	}
}

func (p *printer) value(v *Value) { p.text = v.whole(p.text) }

func (p *printer) begin() {
	for range p.depth {
		p.text = append(p.text, "    "...)
	}
}

func (p *printer) body(list []Statement) {
	p.put("{\n")
	p.depth++
	p.list(list)
	p.depth--
	p.begin()
	p.put("}\n")
}

// statement prints s on lines of its own.
func (p *printer) statement(s Statement) {
	switch s := s.(type) {
	case *Ready:
		p.list(s.Before)
		p.begin()
		p.put("FOUNDRY_READY();\n")
		p.list(s.Behind)
	case *If:
		p.branches(s)
	case *For:
		p.begin()
		p.loop(s)
		if !s.Line {
			p.body(s.Body)
			return
		}
		p.simple(s.Body[0])
		p.put("\n")
	case *Block:
		p.begin()
		p.body(s.Body)
	case *Phase:
		p.begin()
		p.put("// ", s.Text, "\n")
	default:
		p.begin()
		p.simple(s)
		p.put("\n")
	}
}

func (p *printer) branches(s *If) {
	for i, b := range s.Branches {
		p.begin()
		if i > 0 {
			p.put("else ")
		}
		if b.Condition != nil {
			p.put("if (")
			p.value(b.Condition)
			p.put(") ")
		}
		if !s.Line {
			p.body(b.Body)
			continue
		}
		p.simple(b.Body[0])
		p.put("\n")
	}
}

func (p *printer) loop(s *For) {
	p.put("for (uint ", s.Variable.text, " = ")
	p.value(s.From)
	p.put("; ", s.Variable.text, " < ")
	p.value(s.Below)
	p.put("; ", s.Variable.text)
	if s.Step == nil {
		p.put("++) ")
		return
	}
	p.put(" += ")
	p.value(s.Step)
	p.put(") ")
}

// simple prints a statement without a block where the line stands.
func (p *printer) simple(s Statement) {
	switch s := s.(type) {
	case *Declare:
		p.declare(s)
	case *Assign:
		p.value(s.To)
		p.put(" ", s.Op, " ")
		p.value(s.Value)
		p.put(";")
	case *Do:
		p.value(s.Call)
		p.put(";")
	case *Row:
		for i, s := range s.Of {
			if i > 0 {
				p.put(" ")
			}
			p.simple(s)
		}
	case *Barrier:
		scope := "threadgroup"
		if s.Simdgroup {
			scope = "simdgroup"
		}
		p.put(scope, "_barrier(mem_flags::", s.Memory, ");")
	case *Unroll:
		p.put(s.Macro)
	case *Return:
		p.put("return;")
	case *For:
		p.loop(s)
		p.simple(s.Body[0])
	}
}

func (p *printer) declare(s *Declare) {
	p.value(s.Type)
	if p.text[len(p.text)-1] != '*' {
		p.put(" ")
	}
	for i, d := range s.Of {
		if i > 0 {
			p.put(", ")
		}
		p.put(d.Variable.text)
		if d.Size != nil {
			p.put("[")
			p.size(d.Size)
			p.put("]")
		}
		if d.Value != nil {
			p.put(" = ")
			p.value(d.Value)
		}
	}
	p.put(";")
	if s.Note != "" {
		p.put(" // ", s.Note)
	}
}

// size prints how many elements an array has: a number alone as it is.
func (p *printer) size(v *Value) {
	if v.op == opNumber {
		p.text = strconv.AppendInt(p.text, v.n, 10)
		return
	}
	p.value(v)
}

// How strongly operators bind.
const (
	bindSelect  = 3
	bindUnary   = 14
	bindPrimary = 15
)

// operators are the words of operators of two operands, and how strongly each binds.
var operators = [...]struct {
	text string
	bind int
}{
	or: {" || ", 4}, and: {" && ", 5}, bits: {" & ", 8}, equal: {" == ", 9}, less: {" < ", 10}, more: {" > ", 10}, least: {" >= ", 10},
	plus: {" + ", 12}, minus: {" - ", 12}, product: {" * ", 13}, quotient: {" / ", 13}, remainder: {" % ", 13},
}

func (v *Value) bind() int {
	switch v.op {
	case opBinary:
		return operators[v.operator].bind
	case opUnary, opCast:
		return bindUnary
	case opSelect:
		return bindSelect
	}
	return bindPrimary
}

// whole appends the text of v where nothing stands beside it.
func (v *Value) whole(b []byte) []byte { return v.print(b, bindSelect) }

// print appends the text of v, in parentheses where it binds less than least.
func (v *Value) print(b []byte, least int) []byte {
	bind := v.bind()
	if bind < least {
		b = append(b, '(')
		return append(v.whole(b), ')')
	}
	switch v.op {
	case opName, opVariable:
		return append(b, v.text...)
	case opNumber:
		if v.n < 0 {
			b = strconv.AppendInt(append(b, "uint("...), v.n, 10)
			return append(b, ')')
		}
		return append(strconv.AppendInt(b, v.n, 10), 'u')
	case opConst:
		return v.of[0].whole(append(b, "const "...))
	case opConstexpr:
		return v.of[0].whole(append(b, "constexpr "...))
	case opBinary:
		b = v.of[0].print(b, bind)
		b = append(b, operators[v.operator].text...)
		return v.of[1].print(b, bind+1)
	case opUnary:
		return v.of[0].print(append(b, v.text...), bindUnary)
	case opCall:
		b = v.of[0].print(b, bindPrimary)
		return append(list(append(b, '('), v.of[1:]), ')')
	case opConstruct:
		b = v.of[0].print(b, bindPrimary)
		return append(list(append(b, '{'), v.of[1:]), '}')
	case opIndex:
		b = v.of[0].print(b, bindPrimary)
		return append(v.of[1].whole(append(b, '[')), ']')
	case opMember:
		b = v.of[0].print(b, bindPrimary)
		return append(append(b, '.'), v.text...)
	case opScoped:
		b = v.of[0].print(b, bindPrimary)
		return append(append(b, "::"...), v.text...)
	case opSelect:
		b = v.of[0].print(b, bindSelect+1)
		b = v.of[1].print(append(b, " ? "...), bindSelect)
		return v.of[2].print(append(b, " : "...), bindSelect)
	case opCast:
		b = append(append(append(b, '('), v.text...), ')')
		return v.of[0].print(b, bindUnary)
	case opGeneric:
		b = append(append(b, v.text...), '<')
		return append(list(b, v.of), '>')
	}
	b = v.of[0].whole(append(b, '('))
	return append(b, ')')
}

func list(b []byte, of []*Value) []byte {
	for i, v := range of {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = v.whole(b)
	}
	return b
}
