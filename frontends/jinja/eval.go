package jinja

import "slices"

// expr is an expression of a template.
type expr interface {
	eval(r *run) any
	at() int // its line
}

func (r *run) eval(e expr) any {
	r.step(1)
	r.enter()
	r.line = e.at()
	v := e.eval(r)
	r.leave()
	return v
}

type constExpr struct {
	line  int
	value any
}

func (e *constExpr) at() int       { return e.line }
func (e *constExpr) eval(*run) any { return e.value }

type nameExpr struct {
	line int
	name string
}

func (e *nameExpr) at() int { return e.line }

func (e *nameExpr) eval(r *run) any {
	if v, ok := r.lookup(e.name); ok {
		return v
	}
	return undefined{"'" + e.name + "' is undefined"}
}

// heldExpr is the text of the block whose filters are evaluated.
type heldExpr struct{ line int }

func (e *heldExpr) at() int { return e.line }

func (e *heldExpr) eval(r *run) any {
	v, _ := r.lookup(heldName)
	return v
}

type listExpr struct {
	line  int
	items []expr
	tuple bool
}

func (e *listExpr) at() int { return e.line }

func (e *listExpr) eval(r *run) any {
	l := r.list(make([]any, len(e.items)))
	l.Tuple = e.tuple
	for i, item := range e.items {
		l.Items[i] = r.eval(item)
	}
	return l
}

type dictExpr struct {
	line         int
	keys, values []expr
}

func (e *dictExpr) at() int { return e.line }

func (e *dictExpr) eval(r *run) any {
	r.made(len(e.keys) * entryBytes)
	d := NewDict()
	for i := range e.keys {
		key := r.eval(e.keys[i])
		r.hashable(key)
		d.Set(key, r.eval(e.values[i]))
	}
	return d
}

type ifExpr struct {
	line                  int
	then, test, otherwise expr
}

func (e *ifExpr) at() int { return e.line }

func (e *ifExpr) eval(r *run) any {
	switch {
	case truth(r.eval(e.test)):
		return r.eval(e.then)
	case e.otherwise != nil:
		return r.eval(e.otherwise)
	}
	return undefined{"the inline if-expression evaluated to false and no else section was defined."}
}

type logicExpr struct {
	line        int
	or          bool
	left, right expr
}

func (e *logicExpr) at() int { return e.line }

func (e *logicExpr) eval(r *run) any {
	left := r.eval(e.left)
	if truth(left) == e.or {
		return left
	}
	return r.eval(e.right)
}

type notExpr struct {
	line int
	e    expr
}

func (e *notExpr) at() int         { return e.line }
func (e *notExpr) eval(r *run) any { return !truth(r.eval(e.e)) }

// compareExpr is a chain: a < b < c holds where a < b and b < c do.
type compareExpr struct {
	line  int
	first expr
	ops   []string
	rest  []expr
}

func (e *compareExpr) at() int { return e.line }

func (e *compareExpr) eval(r *run) any {
	left := r.eval(e.first)
	for i, op := range e.ops {
		right := r.eval(e.rest[i])
		r.line = e.line
		if !r.holds(op, left, right) {
			return false
		}
		left = right
	}
	return true
}

func (r *run) holds(op string, a, b any) bool {
	switch op {
	case "==":
		return r.equal(a, b)
	case "!=":
		return !r.equal(a, b)
	case "in":
		return r.contains(b, a)
	case "not in":
		return !r.contains(b, a)
	}
	if nan(a) || nan(b) {
		return false
	}
	order := r.compare(op, a, b)
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

func nan(v any) bool {
	f, ok := v.(float64)
	return ok && f != f
}

type concatExpr struct {
	line  int
	parts []expr
}

func (e *concatExpr) at() int { return e.line }

func (e *concatExpr) eval(r *run) any {
	var out pieces
	for _, part := range e.parts {
		text := r.str(r.eval(part))
		r.made(len(text))
		out.add(text)
	}
	return out.String()
}

type binaryExpr struct {
	line        int
	op          string
	left, right expr
}

func (e *binaryExpr) at() int { return e.line }

func (e *binaryExpr) eval(r *run) any {
	left := r.eval(e.left)
	right := r.eval(e.right)
	r.line = e.line
	return r.arithmetic(e.op, left, right)
}

type signExpr struct {
	line  int
	minus bool
	e     expr
}

func (e *signExpr) at() int { return e.line }

func (e *signExpr) eval(r *run) any {
	v := r.eval(e.e)
	r.line = e.line
	if n, ok := integer(v); ok {
		if e.minus {
			return r.arithmetic("-", int64(0), n)
		}
		return n
	}
	f, ok := v.(float64)
	if !ok {
		r.defined(v)
		r.fail("a %s has no sign", typeName(v))
	}
	if e.minus {
		return -f
	}
	return f
}

type attrExpr struct {
	line int
	e    expr
	name string
}

func (e *attrExpr) at() int { return e.line }

func (e *attrExpr) eval(r *run) any {
	v := r.eval(e.e)
	r.line = e.line
	return r.attr(v, e.name)
}

type itemExpr struct {
	line   int
	e, key expr
}

func (e *itemExpr) at() int { return e.line }

func (e *itemExpr) eval(r *run) any {
	v := r.eval(e.e)
	key := r.eval(e.key)
	r.line = e.line
	return r.item(v, key)
}

type sliceExpr struct {
	line                 int
	e, start, stop, step expr // nil: not given
}

func (e *sliceExpr) at() int { return e.line }

func (e *sliceExpr) eval(r *run) any {
	v := r.eval(e.e)
	var bounds [3]any
	for i, part := range []expr{e.start, e.stop, e.step} {
		if part != nil {
			bounds[i] = r.eval(part)
		}
	}
	r.line = e.line
	return r.slice(v, bounds)
}

// arguments are those of a call as it is written.
type arguments struct {
	positional []expr
	names      []string
	named      []expr
}

// args are those of a call as it is made.
type args struct {
	positional []any
	names      []string
	named      []any
}

func (r *run) arguments(e *arguments) args {
	a := args{names: e.names}
	for _, p := range e.positional {
		a.positional = append(a.positional, r.eval(p))
	}
	for _, n := range e.named {
		a.named = append(a.named, r.eval(n))
	}
	return a
}

type callExpr struct {
	line      int
	e         expr
	arguments arguments
}

func (e *callExpr) at() int { return e.line }

func (e *callExpr) eval(r *run) any {
	f := r.eval(e.e)
	a := r.arguments(&e.arguments)
	r.line = e.line
	return r.call(f, a)
}

func (r *run) call(f any, a args) any {
	switch f := f.(type) {
	case *macro:
		return r.invoke(f, a)
	case *function:
		return f.call(r, r.bind(f.name, f.params, f.required, a))
	}
	r.defined(f)
	r.fail("a value of type %s cannot be called", typeName(f))
	return nil
}

// bind puts arguments in the order of the parameters; absent where one is not given. A
// parameter "*" at the end takes any more without names, as a *List, and "**" those
// with names, as a *Dict.
func (r *run) bind(name string, params []string, required uint, a args) []any {
	var rest, extra bool
	for len(params) > 0 && params[len(params)-1][0] == '*' {
		rest = rest || params[len(params)-1] == "*"
		extra = extra || params[len(params)-1] == "**"
		params = params[:len(params)-1]
	}
	out := make([]any, len(params), len(params)+2)
	for i := range out {
		out[i] = absent{}
	}
	if len(a.positional) > len(params) && !rest {
		r.fail("%s takes at most %d arguments, not %d", name, len(params), len(a.positional))
	}
	var others *Dict
	if extra {
		r.made(len(a.names) * entryBytes)
		others = NewDict()
	}
	copy(out, a.positional)
	for i, given := range a.names {
		at := slices.Index(params, given)
		switch {
		case at < 0 && extra:
			others.Set(given, a.named[i])
		case at < 0:
			r.fail("%s takes no argument %q", name, given)
		case out[at] != absent{}:
			r.fail("%s is given %q twice", name, given)
		default:
			out[at] = a.named[i]
		}
	}
	for i := range required {
		if _, missing := out[i].(absent); missing {
			r.fail("%s needs the argument %q", name, params[i])
		}
	}
	if rest {
		out = append(out, &List{Tuple: true, Items: a.positional[min(len(params), len(a.positional)):]})
	}
	if extra {
		out = append(out, others)
	}
	return out
}

type filterExpr struct {
	line      int
	e         expr
	f         *function
	arguments arguments
}

func (e *filterExpr) at() int { return e.line }

func (e *filterExpr) eval(r *run) any {
	v := r.eval(e.e)
	a := r.arguments(&e.arguments)
	a.positional = append([]any{v}, a.positional...)
	r.line = e.line
	return r.call(e.f, a)
}

// testExpr is a filter whose result is a truth.
type testExpr struct {
	filterExpr
	not bool
}

func (e *testExpr) eval(r *run) any { return truth(e.filterExpr.eval(r)) != e.not }
