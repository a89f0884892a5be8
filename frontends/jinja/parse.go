package jinja

import (
	"fmt"
	"slices"
)

// maxNesting bounds how deep blocks and expressions of a template may nest.
const maxNesting = 100

// parser turns tokens into statements. Faults panic with *Error.
type parser struct {
	tokens []token
	at     int
	depth  int
	loops  int // open loops of this function body: break and continue need one
}

func (p *parser) cur() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokEnd {
		p.at++
	}
	return t
}

func (p *parser) fail(format string, args ...any) {
	panic(&Error{p.cur().line, fmt.Sprintf(format, args...)})
}

func (p *parser) enter() {
	if p.depth++; p.depth > maxNesting {
		p.fail("the template nests more than %d levels deep", maxNesting)
	}
}

func (p *parser) leave() { p.depth-- }

func (p *parser) is(kind tokenKind, text string) bool {
	t := p.cur()
	return t.kind == kind && t.text == text
}

func (p *parser) isOp(text string) bool   { return p.is(tokOp, text) }
func (p *parser) isName(text string) bool { return p.is(tokName, text) }

// skip moves over the token if it is the one given.
func (p *parser) skip(kind tokenKind, text string) bool {
	if !p.is(kind, text) {
		return false
	}
	p.next()
	return true
}

func (p *parser) skipOp(text string) bool   { return p.skip(tokOp, text) }
func (p *parser) skipName(text string) bool { return p.skip(tokName, text) }

func (p *parser) wantOp(text string) {
	if !p.skipOp(text) {
		p.fail("want %q, have %s", text, p.describe())
	}
}

func (p *parser) wantName() string {
	if p.cur().kind != tokName {
		p.fail("want a name, have %s", p.describe())
	}
	return p.next().text
}

func (p *parser) wantClose() {
	if p.cur().kind != tokCloseTag {
		p.fail("want the end of the tag, have %s", p.describe())
	}
	p.next()
}

var tokenNames = map[tokenKind]string{
	tokEnd: "the end of the template", tokText: "text", tokOpenTag: "{%", tokCloseTag: "the end of the tag",
	tokOpenExpr: "{{", tokCloseExpr: "the end of the expression",
}

func (p *parser) describe() string { return p.cur().describe() }

func (t token) describe() string {
	if name, ok := tokenNames[t.kind]; ok {
		return name
	}
	return fmt.Sprintf("%q", t.text)
}

// body reads statements up to the tag of one of the names, whose {% and name it leaves
// to be read; without names up to the end.
func (p *parser) body(until ...string) []stmt {
	p.enter()
	defer p.leave()
	opened := p.cur().line
	var out []stmt
	for {
		t := p.cur()
		switch t.kind {
		case tokEnd:
			if len(until) > 0 {
				panic(&Error{opened, fmt.Sprintf("the block is not closed: there is no %s", until[len(until)-1])})
			}
			return out
		case tokText:
			out = append(out, textStmt(p.next().text))
		case tokOpenExpr:
			p.next()
			out = append(out, &printStmt{t.line, p.tuple(nil)})
			if p.cur().kind != tokCloseExpr {
				p.fail("want the end of the expression, have %s", p.describe())
			}
			p.next()
		case tokOpenTag:
			name := p.tokens[p.at+1]
			if name.kind == tokName && slices.Contains(until, name.text) {
				return out
			}
			p.next()
			out = append(out, p.tag())
		default:
			p.fail("unexpected %s", p.describe())
		}
	}
}

// closes reads the tag that ended a body, and returns its name.
func (p *parser) closes() string {
	p.next()
	return p.wantName()
}

// block reads the rest of a tag, a body and its end.
func (p *parser) block(end string) []stmt {
	p.wantClose()
	out := p.body(end)
	p.closes()
	p.wantClose()
	return out
}

// functionBody is block for what jinja2 compiles to a function of its own.
func (p *parser) functionBody(end string) []stmt {
	loops := p.loops
	p.loops = 0
	out := p.block(end)
	p.loops = loops
	return out
}

// refusedTags are tags of jinja2 that have no place in a chat template, which is one
// text that stands alone and no HTML.
var refusedTags = []string{"include", "import", "from", "extends", "block", "autoescape"}

func (p *parser) tag() stmt {
	line := p.cur().line
	name := p.wantName()
	switch name {
	case "if":
		return p.ifTag(line)
	case "for":
		return p.forTag(line)
	case "set":
		return p.setTag(line)
	case "macro":
		return p.macroTag(line)
	case "call":
		return p.callTag(line)
	case "filter":
		return p.filterTag(line)
	case "with":
		return p.withTag(line)
	case "break":
		return p.jumpTag(name, broke)
	case "continue":
		return p.jumpTag(name, continued)
	case "generation":
		return &generationStmt{line, p.functionBody("endgeneration")}
	}
	if slices.Contains(refusedTags, name) {
		panic(&Error{line, fmt.Sprintf("the tag %q is not supported in a chat template", name)})
	}
	panic(&Error{line, fmt.Sprintf("there is no tag %q", name)})
}

func (p *parser) ifTag(line int) stmt {
	s := &ifStmt{line: line}
	test := p.tuple(nil)
	for {
		p.wantClose()
		s.branches = append(s.branches, branch{test, p.body("elif", "else", "endif")})
		switch p.closes() {
		case "elif":
			test = p.tuple(nil)
			continue
		case "else":
			s.otherwise = p.block("endif")
		default:
			p.wantClose()
		}
		return s
	}
}

func (p *parser) forTag(line int) stmt {
	s := &forStmt{line: line, target: p.target("in", false)}
	if !p.skipName("in") {
		p.fail("want \"in\", have %s", p.describe())
	}
	s.over = p.tupleOf(p.expressionWithoutIf, []string{"recursive"})
	if p.skipName("if") {
		s.filter = p.expression()
	}
	if p.isName("recursive") {
		p.fail("recursive loops are not supported")
	}
	p.wantClose()
	p.loops++
	s.body = p.body("else", "endfor")
	p.loops--
	if p.closes() == "else" {
		s.otherwise = p.block("endfor")
	} else {
		p.wantClose()
	}
	return s
}

func (p *parser) setTag(line int) stmt {
	target := p.target("", true)
	if p.skipOp("=") {
		s := &setStmt{line, target, p.tuple(nil)}
		p.wantClose()
		return s
	}
	s := &setBlockStmt{line: line, target: target}
	if p.isOp("|") {
		s.filters = p.filters(&heldExpr{line: line})
	}
	s.body = p.functionBody("endset")
	return s
}

func (p *parser) macroTag(line int) stmt {
	m := &macro{line: line, name: p.wantName()}
	p.wantOp("(")
	p.parameters(m)
	m.body = p.functionBody("endmacro")
	return &macroStmt{m}
}

// parameters reads a parameter list behind its bracket.
func (p *parser) parameters(m *macro) {
	for !p.skipOp(")") {
		if len(m.params) > 0 {
			p.wantOp(",")
		}
		m.params = append(m.params, p.wantName())
		var value expr
		if p.skipOp("=") {
			value = p.expression()
		} else if n := len(m.defaults); n > 0 && m.defaults[n-1] != nil {
			p.fail("a parameter without a default follows one with a default")
		}
		m.defaults = append(m.defaults, value)
	}
}

func (p *parser) callTag(line int) stmt {
	s := &callStmt{line: line, caller: &macro{line: line, name: "caller"}}
	if p.skipOp("(") {
		p.parameters(s.caller)
	}
	call, ok := p.expression().(*callExpr)
	if !ok {
		p.fail("want a call in the call tag")
	}
	s.call = call
	s.caller.body = p.functionBody("endcall")
	return s
}

func (p *parser) filterTag(line int) stmt {
	held := &heldExpr{line: line}
	s := &filterStmt{line: line, filters: p.filterCall(held)}
	if p.isOp("|") {
		s.filters = p.filters(s.filters)
	}
	s.body = p.functionBody("endfilter")
	return s
}

func (p *parser) withTag(line int) stmt {
	s := &withStmt{line: line}
	for p.cur().kind != tokCloseTag {
		if len(s.targets) > 0 {
			p.wantOp(",")
		}
		s.targets = append(s.targets, p.target("", false))
		p.wantOp("=")
		s.values = append(s.values, p.expression())
	}
	s.body = p.block("endwith")
	return s
}

func (p *parser) jumpTag(name string, f flow) stmt {
	if p.loops == 0 {
		p.fail("%s outside a loop", name)
	}
	p.wantClose()
	return jumpStmt(f)
}

// target reads what is assigned to: a name, several with commas between, or, where
// attributes may be, the attribute of a namespace. It ends before the keyword end.
func (p *parser) target(end string, attributes bool) target {
	line := p.cur().line
	if p.skipOp("(") {
		t := p.target("", false)
		p.wantOp(")")
		return t
	}
	name := p.assignable()
	if attributes && p.skipOp(".") {
		return &attrTarget{line, name, p.wantName()}
	}
	if !p.isOp(",") {
		return nameTarget(name)
	}
	t := &tupleTarget{line: line, targets: []target{nameTarget(name)}}
	for p.skipOp(",") {
		if p.isOp("=") || end != "" && p.isName(end) || p.cur().kind == tokCloseTag {
			break
		}
		if p.isOp("(") {
			t.targets = append(t.targets, p.target("", false))
		} else {
			t.targets = append(t.targets, nameTarget(p.assignable()))
		}
	}
	return t
}

func (p *parser) assignable() string {
	name := p.wantName()
	if _, constant := constants[name]; constant {
		p.fail("%s cannot be assigned to", name)
	}
	return name
}
