package jinja

import (
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// arithmetic is Python's, with integers of 64 bits: what needs more is an error.
func (r *run) arithmetic(op string, a, b any) any {
	x, okX := integer(a)
	y, okY := integer(b)
	if okX && okY {
		return r.integers(op, x, y)
	}
	f, okF := number(a)
	g, okG := number(b)
	if okF && okG {
		return r.floats(op, f, g)
	}
	switch {
	case op == "+":
		if v, ok := r.joined(a, b); ok {
			return v
		}
	case op == "*" && okY:
		return r.repeated(a, y)
	case op == "*" && okX:
		return r.repeated(b, x)
	}
	r.defined(a)
	r.defined(b)
	if _, text := a.(string); text && op == "%" {
		r.fail("printf formatting is not supported")
	}
	r.fail("%q is not supported between %s and %s", op, typeName(a), typeName(b))
	return nil
}

func (r *run) integers(op string, x, y int64) any {
	var n int64
	ok := true
	switch op {
	case "+":
		n = x + y
		ok = (n > x) == (y > 0)
	case "-":
		n = x - y
		ok = (n < x) == (y > 0)
	case "*":
		n, ok = product(x, y)
	case "**":
		if y < 0 {
			return r.floats(op, float64(x), float64(y))
		}
		n, ok = power(x, y)
	default:
		return r.quotient(op, x, y)
	}
	if !ok {
		r.fail("the result of %q has more than 64 bits", op)
	}
	return n
}

// quotient divides integers; // and % round down as Python does.
func (r *run) quotient(op string, x, y int64) any {
	switch {
	case y == 0:
		r.fail("division by zero")
	case op == "/":
		return float64(x) / float64(y)
	case y == -1 && op == "//":
		return r.integers("-", 0, x)
	}
	q, m := x/y, x%y
	if m != 0 && (m < 0) != (y < 0) {
		q, m = q-1, m+y
	}
	if op == "//" {
		return q
	}
	return m
}

func product(x, y int64) (int64, bool) {
	if x == math.MinInt64 || y == math.MinInt64 {
		return x * y, x == 0 || y == 0 || x == 1 || y == 1
	}
	high, low := bits.Mul64(uint64(max(x, -x)), uint64(max(y, -y)))
	return x * y, high == 0 && low <= math.MaxInt64
}

func power(x, y int64) (int64, bool) {
	if x >= -1 && x <= 1 {
		y = min(y, 2+y%2) // whose parity alone counts
	}
	n, ok := int64(1), true
	for ; y > 0 && ok; y-- {
		n, ok = product(n, x)
	}
	return n, ok
}

func (r *run) floats(op string, f, g float64) any {
	if g == 0 && (op == "/" || op == "//" || op == "%") || f == 0 && g < 0 && op == "**" {
		r.fail("division by zero")
	}
	switch op {
	case "+":
		return f + g
	case "-":
		return f - g
	case "*":
		return f * g
	case "/":
		return f / g
	case "**":
		v := math.Pow(f, g)
		if math.IsNaN(v) && !math.IsNaN(f) && !math.IsNaN(g) || math.IsInf(v, 0) && !math.IsInf(f, 0) && !math.IsInf(g, 0) {
			r.fail("the result of \"**\" is no float")
		}
		return v
	}
	m := math.Mod(f, g)
	if m != 0 && (m < 0) != (g < 0) {
		m += g
	}
	if op == "%" {
		return m
	}
	return math.Round((f - m) / g)
}

// joined is a + b of two strings or two lists.
func (r *run) joined(a, b any) (any, bool) {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			r.made(len(x) + len(y))
			return x + y, true
		}
	case *List:
		if y, ok := b.(*List); ok && x.Tuple == y.Tuple && x.text+y.text == "" {
			r.made((len(x.Items) + len(y.Items)) * wordBytes)
			items := append(append(make([]any, 0, len(x.Items)+len(y.Items)), x.Items...), y.Items...)
			return &List{Items: items, Tuple: x.Tuple}, true
		}
	}
	return nil, false
}

// repeated is v * n of a string or list.
func (r *run) repeated(v any, n int64) any {
	n = max(n, 0)
	times := func(size int) int {
		if size > 0 && n > math.MaxInt32 {
			r.beyond()
		}
		if size == 0 {
			return 0
		}
		r.made(size * int(n))
		return int(n)
	}
	switch v := v.(type) {
	case string:
		return strings.Repeat(v, times(len(v)))
	case *List:
		if v.text == "" {
			l := &List{Tuple: v.Tuple}
			for range times(len(v.Items) * wordBytes) {
				l.Items = append(l.Items, v.Items...)
			}
			return l
		}
	}
	r.defined(v)
	r.fail("\"*\" is not supported between %s and int", typeName(v))
	return nil
}

// missing is the value of an attribute or element that is not there.
func missing(v, key any) undefined {
	if name, ok := key.(string); ok {
		return undefined{objectName(v) + " has no attribute '" + shortened(name) + "'"}
	}
	var text pieces
	(&run{limits: DefaultLimits}).repr(&text, key)
	return undefined{strings.Trim(objectName(v), "'") + " has no element " + text.String()}
}

// attr is v.name: a method or attribute, else the element of that name.
func (r *run) attr(v any, name string) any {
	r.defined(v)
	r.read(len(name))
	if !strings.HasPrefix(name, "_") {
		if found, ok := r.member(v, name); ok {
			return found
		}
	}
	if d, ok := v.(*Dict); ok {
		if value, ok := d.Get(name); ok {
			return value
		}
	}
	if strings.HasPrefix(name, "__") {
		return undefined{"access to attribute '" + shortened(name) + "' of " + objectName(v) + " is unsafe."}
	}
	return missing(v, name)
}

// item is v[key]: an element, else the method or attribute of that name.
func (r *run) item(v, key any) any {
	r.defined(v)
	if name, ok := key.(string); ok {
		r.read(len(name))
	}
	switch x := v.(type) {
	case *Dict:
		if l, ok := key.(*List); ok && l.Tuple {
			r.hashable(key)
		}
		switch key.(type) {
		case nil, bool, int64, float64, string:
			if value, ok := x.Get(key); ok {
				return value
			}
		}
	case *List:
		if n, ok := integer(key); ok {
			if n < 0 {
				n += int64(len(x.Items))
			}
			if n >= 0 && n < int64(len(x.Items)) {
				return x.Items[n]
			}
		}
	case string:
		if n, ok := integer(key); ok {
			if char, ok := r.character(x, n); ok {
				return char
			}
		}
	}
	if name, ok := key.(string); ok && !strings.HasPrefix(name, "_") {
		if found, ok := r.member(v, name); ok {
			return found
		}
	}
	r.defined(key)
	switch key.(type) {
	case nil, bool, int64, float64, string:
		return missing(v, key)
	}
	return undefined{objectName(v) + " has no such element"}
}

// character returns the n-th character of s, from the end where n is negative.
func (r *run) character(s string, n int64) (string, bool) {
	r.read(len(s))
	if n < 0 {
		n += int64(utf8.RuneCountInString(s))
	}
	for _, char := range s {
		if n == 0 {
			return string(char), true
		}
		n--
	}
	return "", false
}

// slice is v[start:stop:step]; a bound that is nil is not given.
func (r *run) slice(v any, bounds [3]any) any {
	switch v := v.(type) {
	case undefined:
		r.defined(v)
	case string:
		if step, ok := integer(bounds[2]); bounds[2] == nil || ok && step == 1 {
			r.read(len(v))
			start, stop, _, _ := r.bounds(bounds, utf8.RuneCountInString(v))
			return r.text(runes(v, start, stop))
		}
		r.made(4 * len(v))
		chars := []rune(v)
		start, _, step, n := r.bounds(bounds, len(chars))
		out := make([]rune, 0, n)
		for i := range n {
			out = append(out, chars[start+i*step])
		}
		return r.text(string(out))
	case *List:
		start, _, step, n := r.bounds(bounds, len(v.Items))
		if v.text != "" {
			r.fail("slices of a range are not supported")
		}
		l := r.list(make([]any, 0, n))
		l.Tuple = v.Tuple
		r.made(n * wordBytes)
		for i := range n {
			l.Items = append(l.Items, v.Items[start+i*step])
		}
		return l
	}
	return undefined{objectName(v) + " has no slice"}
}

// runes returns the characters start to stop of s, without stop.
func runes(s string, start, stop int) string {
	begin, end, i := len(s), len(s), 0
	for at := range s {
		if i == start {
			begin = at
		}
		if i == stop {
			end = at
			break
		}
		i++
	}
	return s[min(begin, end):end]
}

// bounds resolves a slice of so many elements: where it begins and ends, its step, and
// how many elements it has.
func (r *run) bounds(given [3]any, length int) (start, stop, step, n int) {
	number := func(v any, otherwise int) int {
		if v == nil {
			return otherwise
		}
		i, ok := integer(v)
		if !ok {
			r.defined(v)
			r.fail("the bound of a slice is a %s, want an integer", typeName(v))
		}
		return int(max(min(i, math.MaxInt32), -math.MaxInt32))
	}
	step = number(given[2], 1)
	if step == 0 {
		r.fail("the step of a slice is 0")
	}
	low, high := 0, length
	if step < 0 {
		low, high = -1, length-1
	}
	clamp := func(v any, otherwise int) int {
		if v == nil {
			return otherwise
		}
		i := number(v, 0)
		if i < 0 {
			i += length
		}
		return max(low, min(i, high))
	}
	if step > 0 {
		start, stop = clamp(given[0], low), clamp(given[1], high)
		return start, max(stop, start), step, max(0, (stop-start+step-1)/step)
	}
	start, stop = clamp(given[0], high), clamp(given[1], low)
	return start, stop, step, max(0, (start-stop-step-1)/-step)
}

// setAttr changes a namespace.
func (r *run) setAttr(n *namespace, name string, v any) {
	if strings.HasPrefix(name, "_") {
		r.fail("a namespace cannot hold the attribute %q, which begins with an underscore", name)
	}
	r.made(entryBytes)
	n.attrs.Set(name, v)
}
