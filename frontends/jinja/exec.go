package jinja

import "slices"

// stmt is a statement of a template. flow says how its execution ended.
type stmt interface{ exec(r *run) flow }

type flow uint8

const (
	done flow = iota
	broke
	continued
)

func (r *run) execAll(body []stmt) flow {
	r.enter()
	for _, s := range body {
		r.step(1)
		if f := s.exec(r); f != done {
			r.leave()
			return f
		}
	}
	r.leave()
	return done
}

func (r *run) print(text string) {
	r.made(len(text))
	r.out.add(text)
}

type textStmt string

func (s textStmt) exec(r *run) flow {
	r.print(string(s))
	return done
}

type printStmt struct {
	line int
	e    expr
}

func (s *printStmt) exec(r *run) flow {
	v := r.eval(s.e)
	r.line = s.line
	r.print(r.str(v))
	return done
}

type branch struct {
	test expr
	body []stmt
}

type ifStmt struct {
	line      int
	branches  []branch
	otherwise []stmt
}

func (s *ifStmt) exec(r *run) flow {
	for _, b := range s.branches {
		if truth(r.eval(b.test)) {
			return r.execAll(b.body)
		}
	}
	return r.execAll(s.otherwise)
}

type forStmt struct {
	line      int
	target    target
	over      expr
	filter    expr // nil: all
	body      []stmt
	otherwise []stmt
}

// loop is the variable of that name.
type loop struct {
	items []any
	at    int
	seen  []any // the arguments of the last call of changed
}

func (s *forStmt) exec(r *run) flow {
	over := r.eval(s.over)
	r.line = s.line
	items := r.iterate(over)
	outer := r.scope
	if s.filter != nil {
		items = slices.Clone(items)
		items = slices.DeleteFunc(items, func(item any) (drop bool) {
			r.inside(outer, func() {
				s.target.assign(r, item)
				drop = !truth(r.eval(s.filter))
			})
			return drop
		})
		r.made(len(items) * wordBytes)
	}
	if len(items) == 0 {
		var f flow
		r.inside(outer, func() { f = r.execAll(s.otherwise) })
		return f
	}
	state := &loop{items: items}
	for i, item := range items {
		state.at = i
		var f flow
		r.inside(outer, func() {
			r.set("loop", state)
			r.line = s.line
			s.target.assign(r, item)
			f = r.execAll(s.body)
		})
		if f == broke {
			break
		}
	}
	return done
}

type setStmt struct {
	line   int
	target target
	value  expr
}

func (s *setStmt) exec(r *run) flow {
	v := r.eval(s.value)
	r.line = s.line
	s.target.assign(r, v)
	return done
}

type setBlockStmt struct {
	line    int
	target  target
	filters expr // filters behind a heldExpr; nil: none
	body    []stmt
}

func (s *setBlockStmt) exec(r *run) flow {
	v := r.block(s.body, s.filters)
	r.line = s.line
	s.target.assign(r, v)
	return done
}

type filterStmt struct {
	line    int
	filters expr
	body    []stmt
}

func (s *filterStmt) exec(r *run) flow {
	v := r.block(s.body, s.filters)
	r.line = s.line
	r.print(r.str(v))
	return done
}

// heldName is where a block's text waits for its filters; no template can name it.
const heldName = "|"

// block returns what a body prints, through the filters.
func (r *run) block(body []stmt, filters expr) (v any) {
	r.inside(r.scope, func() {
		text := r.capture(func() { r.execAll(body) })
		v = text
		if filters != nil {
			r.set(heldName, text)
			v = r.eval(filters)
		}
	})
	return v
}

type withStmt struct {
	line    int
	targets []target
	values  []expr
	body    []stmt
}

func (s *withStmt) exec(r *run) (f flow) {
	values := make([]any, len(s.values))
	for i, e := range s.values {
		values[i] = r.eval(e)
	}
	r.inside(r.scope, func() {
		r.line = s.line
		for i, t := range s.targets {
			t.assign(r, values[i])
		}
		f = r.execAll(s.body)
	})
	return f
}

type jumpStmt flow

func (s jumpStmt) exec(*run) flow { return flow(s) }

// generationStmt marks what the assistant said; it prints its body.
type generationStmt struct {
	line int
	body []stmt
}

func (s *generationStmt) exec(r *run) flow {
	r.inside(r.scope, func() { r.execAll(s.body) })
	return done
}

// macro is a macro, and the value of its name. scope is where it was defined.
type macro struct {
	line     int
	name     string
	params   []string
	defaults []expr // default values, one a parameter; nil: none
	body     []stmt
	scope    *scope
}

type macroStmt struct{ m *macro }

func (s *macroStmt) exec(r *run) flow {
	m := *s.m
	m.scope = r.scope
	r.set(m.name, &m)
	return done
}

type callStmt struct {
	line   int
	call   *callExpr
	caller *macro
}

func (s *callStmt) exec(r *run) flow {
	caller := *s.caller
	caller.scope = r.scope
	f := r.eval(s.call.e)
	a := r.arguments(&s.call.arguments)
	a.names = append(slices.Clone(a.names), callerName)
	a.named = append(slices.Clone(a.named), &caller)
	r.line = s.line
	r.print(r.str(r.call(f, a)))
	return done
}

const callerName = "caller"

// invoke calls a macro: the text it prints.
func (r *run) invoke(m *macro, a args) any {
	if len(a.positional) > len(m.params) {
		r.fail("macro %q takes not more than %d arguments", m.name, len(m.params))
	}
	var text string
	called := r.line
	r.inside(m.scope, func() {
		named := map[string]any{}
		for i, name := range a.names {
			if slices.Contains(a.names[:i], name) {
				r.fail("macro %q is given %q twice", m.name, name)
			}
			named[name] = a.named[i]
		}
		if caller, ok := named[callerName]; ok && !slices.Contains(m.params, callerName) {
			r.set(callerName, caller)
			delete(named, callerName)
		}
		for i, name := range m.params {
			v, given := named[name]
			delete(named, name)
			switch {
			case i < len(a.positional) && given:
				r.fail("macro %q is given %q twice", m.name, name)
			case i < len(a.positional):
				v = a.positional[i]
			case given:
			case m.defaults[i] != nil:
				v = r.eval(m.defaults[i])
			default:
				v = undefined{"parameter '" + name + "' was not provided"}
			}
			r.set(name, v)
		}
		for _, name := range a.names {
			if _, left := named[name]; left {
				r.fail("macro %q takes no argument %q", m.name, name)
			}
		}
		text = r.capture(func() { r.execAll(m.body) })
	})
	r.line = called
	return text
}

// target is what a value is assigned to.
type target interface{ assign(r *run, v any) }

type nameTarget string

func (t nameTarget) assign(r *run, v any) { r.set(string(t), v) }

type tupleTarget struct {
	line    int
	targets []target
}

func (t *tupleTarget) assign(r *run, v any) {
	items := r.iterate(v)
	if len(items) != len(t.targets) {
		r.fail("%d names cannot take %d values", len(t.targets), len(items))
	}
	for i, item := range items {
		t.targets[i].assign(r, item)
	}
}

// attrTarget is an attribute of a namespace.
type attrTarget struct {
	line       int
	name, attr string
}

func (t *attrTarget) assign(r *run, v any) {
	object, _ := r.lookup(t.name)
	n, ok := object.(*namespace)
	if !ok {
		r.fail("%s.%s cannot be assigned to: %s is no namespace", t.name, t.attr, t.name)
	}
	r.setAttr(n, t.attr, v)
}
