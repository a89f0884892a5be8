package jinja

import (
	"slices"
	"strconv"
	"strings"
)

// constants are the names that mean a value.
var constants = map[string]any{
	"true": true, "True": true, "false": false, "False": false, "none": nil, "None": nil,
}

// tuple reads an expression, or several with commas between, which make a tuple.
func (p *parser) tuple(ends []string) expr { return p.tupleOf(p.expression, ends) }

// tupleOf is tuple with another reader of its elements; the names in ends close it.
func (p *parser) tupleOf(element func() expr, ends []string) expr {
	line := p.cur().line
	first := element()
	if !p.isOp(",") {
		return first
	}
	list := &listExpr{line: line, items: []expr{first}, tuple: true}
	for p.skipOp(",") {
		if t := p.cur(); t.kind == tokCloseTag || t.kind == tokCloseExpr || p.isOp(")") || t.kind == tokName && slices.Contains(ends, t.text) {
			break
		}
		list.items = append(list.items, element())
	}
	return list
}

// expression reads a conditional expression, the weakest binding there is.
func (p *parser) expression() expr {
	p.enter()
	defer p.leave()
	e := p.or()
	for p.isName("if") {
		c := &ifExpr{line: p.next().line, then: e, test: p.or()}
		if p.skipName("else") {
			c.otherwise = p.expression()
		}
		e = c
	}
	return e
}

// expressionWithoutIf leaves an "if" to what follows, as the loop's iterable must.
func (p *parser) expressionWithoutIf() expr {
	p.enter()
	defer p.leave()
	return p.or()
}

func (p *parser) or() expr  { return p.logic("or", p.and) }
func (p *parser) and() expr { return p.logic("and", p.not) }

// logic reads operands with the word "and" or "or" between.
func (p *parser) logic(word string, operand func() expr) expr {
	e := operand()
	for p.isName(word) {
		e = &logicExpr{line: p.next().line, or: word == "or", left: e, right: operand()}
	}
	return e
}

func (p *parser) not() expr {
	if !p.isName("not") {
		return p.comparison()
	}
	p.enter()
	defer p.leave()
	return &notExpr{line: p.next().line, e: p.not()}
}

var comparisons = []string{"==", "!=", "<", "<=", ">", ">="}

func (p *parser) comparison() expr {
	line := p.cur().line
	c := &compareExpr{line: line, first: p.sum()}
	for {
		t := p.cur()
		op := ""
		switch {
		case t.kind == tokOp && slices.Contains(comparisons, t.text):
			op = t.text
			p.next()
		case p.skipName("in"):
			op = "in"
		case p.isName("not") && p.tokens[p.at+1].kind == tokName && p.tokens[p.at+1].text == "in":
			p.next()
			p.next()
			op = "not in"
		case len(c.ops) == 0:
			return c.first
		default:
			return c
		}
		c.ops = append(c.ops, op)
		c.rest = append(c.rest, p.sum())
	}
}

// binary reads operands with operators of one strength between, from left to right.
func (p *parser) binary(operand func() expr, ops ...string) expr {
	line := p.cur().line
	e := operand()
	for n := 0; p.cur().kind == tokOp && slices.Contains(ops, p.cur().text); n++ {
		if n == maxNesting*10 {
			p.fail("an expression has more than %d operators in a row", n)
		}
		op := p.next().text
		e = &binaryExpr{line: line, op: op, left: e, right: operand()}
		line = p.cur().line
	}
	return e
}

func (p *parser) sum() expr { return p.binary(p.concat, "+", "-") }

func (p *parser) concat() expr {
	line := p.cur().line
	first := p.product()
	if !p.isOp("~") {
		return first
	}
	c := &concatExpr{line: line, parts: []expr{first}}
	for p.skipOp("~") {
		c.parts = append(c.parts, p.product())
	}
	return c
}

func (p *parser) product() expr { return p.binary(p.power, "*", "/", "//", "%") }
func (p *parser) power() expr {
	return p.binary(func() expr { return p.unary(true) }, "**")
}

func (p *parser) unary(filters bool) expr {
	p.enter()
	defer p.leave()
	var e expr
	t := p.cur()
	if p.skipOp("-") || p.skipOp("+") {
		e = &signExpr{line: t.line, minus: t.text == "-", e: p.unary(false)}
	} else {
		e = p.primary()
	}
	e = p.postfix(e)
	if filters {
		e = p.filters(e)
	}
	return e
}

func (p *parser) primary() expr {
	t := p.next()
	switch t.kind {
	case tokName:
		if value, ok := constants[t.text]; ok {
			return &constExpr{t.line, value}
		}
		return &nameExpr{t.line, t.text}
	case tokString:
		text := t.text
		for p.cur().kind == tokString {
			text += p.next().text
		}
		return &constExpr{t.line, text}
	case tokInt:
		n, err := strconv.ParseInt(strings.ReplaceAll(t.text, "_", ""), 0, 64)
		if err != nil {
			panic(&Error{t.line, "the number " + t.text + " has more than 64 bits"})
		}
		return &constExpr{t.line, n}
	case tokFloat:
		f, _ := strconv.ParseFloat(strings.ReplaceAll(t.text, "_", ""), 64) // beyond its range an infinity, as in Python
		return &constExpr{t.line, f}
	}
	if t.kind == tokOp {
		switch t.text {
		case "(":
			if p.skipOp(")") {
				return &listExpr{line: t.line, tuple: true}
			}
			e := p.tuple(nil)
			p.wantOp(")")
			return e
		case "[":
			return p.list(t.line)
		case "{":
			return p.dict(t.line)
		}
	}
	panic(&Error{t.line, "want an expression, have " + t.describe()})
}

// each reads elements with commas between, one of which may stand at the end, up to the
// closing bracket.
func (p *parser) each(closer string, element func()) {
	for n := 0; !p.skipOp(closer); n++ {
		if n > 0 {
			p.wantOp(",")
			if p.skipOp(closer) {
				return
			}
		}
		element()
	}
}

func (p *parser) list(line int) expr {
	l := &listExpr{line: line}
	p.each("]", func() { l.items = append(l.items, p.expression()) })
	return l
}

func (p *parser) dict(line int) expr {
	d := &dictExpr{line: line}
	p.each("}", func() {
		d.keys = append(d.keys, p.expression())
		p.wantOp(":")
		d.values = append(d.values, p.expression())
	})
	return d
}

func (p *parser) postfix(e expr) expr {
	for n := 0; ; n++ {
		if n == maxNesting {
			p.fail("more than %d attributes and calls follow each other", n)
		}
		t := p.cur()
		switch {
		case p.skipOp("."):
			name := p.next()
			switch name.kind {
			case tokName:
				e = &attrExpr{t.line, e, name.text}
			case tokInt:
				n, err := strconv.ParseInt(name.text, 10, 64)
				if err != nil {
					p.fail("%q is no index", name.text)
				}
				e = &itemExpr{t.line, e, &constExpr{t.line, n}}
			default:
				p.at--
				p.fail("want a name behind the dot, have %s", p.describe())
			}
		case p.skipOp("["):
			e = p.subscript(t.line, e)
		case p.isOp("("):
			e = p.call(e)
		default:
			return e
		}
	}
}

func (p *parser) subscript(line int, e expr) expr {
	s := &sliceExpr{line: line, e: e}
	ended := func() bool { return p.isOp(":") || p.isOp("]") }
	var first expr
	if !ended() {
		first = p.expression()
	}
	if first != nil && p.skipOp("]") {
		return &itemExpr{line, e, first}
	}
	p.wantOp(":")
	s.start = first
	if !ended() {
		s.stop = p.expression()
	}
	if p.skipOp(":") && !ended() {
		s.step = p.expression()
	}
	p.wantOp("]")
	return s
}

// call reads the arguments of a call of e.
func (p *parser) call(e expr) expr {
	c := &callExpr{line: p.cur().line, e: e}
	c.arguments = p.arguments()
	return c
}

func (p *parser) arguments() arguments {
	var a arguments
	p.wantOp("(")
	p.each(")", func() {
		if p.isOp("*") || p.isOp("**") {
			p.fail("arguments by %s are not supported", p.cur().text)
		}
		if next := p.tokens[p.at+1]; p.cur().kind == tokName && next.kind == tokOp && next.text == "=" {
			a.names = append(a.names, p.next().text)
			p.next()
			a.named = append(a.named, p.expression())
			return
		}
		if len(a.named) > 0 {
			p.fail("an argument without a name follows one with a name")
		}
		a.positional = append(a.positional, p.expression())
	})
	return a
}

// filters reads the filters and tests behind an expression.
func (p *parser) filters(e expr) expr {
	for n := 0; ; n++ {
		if n == maxNesting {
			p.fail("more than %d filters follow each other", n)
		}
		switch {
		case p.skipOp("|"):
			e = p.filterCall(e)
		case p.isName("is"):
			e = p.test(e)
		case p.isOp("("):
			e = p.call(e)
		default:
			return e
		}
	}
}

// filterCall reads a filter's name and arguments.
func (p *parser) filterCall(e expr) expr {
	t := p.cur()
	name := p.wantName()
	f, ok := filters[name]
	switch {
	case slices.Contains(refusedFilters, name):
		panic(&Error{t.line, "the filter " + strconv.Quote(name) + " is not supported in a chat template"})
	case !ok:
		panic(&Error{t.line, "there is no filter " + strconv.Quote(name)})
	}
	c := &filterExpr{line: t.line, e: e, f: f}
	if p.isOp("(") {
		c.arguments = p.arguments()
	}
	return c
}

func (p *parser) test(e expr) expr {
	t := p.next()
	c := &testExpr{not: p.skipName("not")}
	name := p.wantName()
	f, ok := tests[name]
	if !ok {
		panic(&Error{t.line, "there is no test " + strconv.Quote(name)})
	}
	c.filterExpr = filterExpr{line: t.line, e: e, f: f}
	next := p.cur()
	switch {
	case p.isOp("("):
		c.arguments = p.arguments()
	case p.isName("else"), p.isName("or"), p.isName("and"):
	case p.isName("is"):
		p.fail("tests cannot be chained with is")
	case next.kind == tokName, next.kind == tokString, next.kind == tokInt, next.kind == tokFloat, p.isOp("["), p.isOp("{"):
		c.arguments.positional = []expr{p.postfix(p.primary())}
	}
	return c
}
