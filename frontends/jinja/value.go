package jinja

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"math/big"
	"strings"
)

// Values are nil (None), bool, int64, float64, string, *List, *Dict and what templates
// make themselves: undefined, *namespace, *stream, *loop, *macro and *function.

// List is a list or, where Tuple is set, a tuple. Templates cannot change it.
type List struct {
	Items []any
	Tuple bool
	text  string // a range as it prints; "" for others
}

// Dict is a dictionary in order of insertion. Templates cannot change it.
type Dict struct {
	keys   []any
	values map[any]any
}

// NewDict returns a dictionary of alternating keys, which are strings, and values.
func NewDict(pairs ...any) *Dict {
	d := &Dict{values: make(map[any]any, len(pairs)/2)}
	for i := 0; i < len(pairs); i += 2 {
		d.Set(pairs[i], pairs[i+1])
	}
	return d
}

// Set enters a value under a key that is nil, a bool, an int64, a float64 or a string.
func (d *Dict) Set(key, value any) {
	k := dictKey(key)
	if _, known := d.values[k]; !known {
		d.keys = append(d.keys, key)
	}
	d.values[k] = value
}

// Get returns the value under a key; false where there is none.
func (d *Dict) Get(key any) (any, bool) {
	value, ok := d.values[dictKey(key)]
	return value, ok
}

// All yields the keys and values in order.
func (d *Dict) All() iter.Seq2[any, any] {
	return func(yield func(key, value any) bool) {
		for _, key := range d.keys {
			if !yield(key, d.values[dictKey(key)]) {
				return
			}
		}
	}
}

// dictKey makes keys that Python holds equal one: 1, 1.0 and True.
func dictKey(key any) any {
	switch k := key.(type) {
	case bool:
		if k {
			return int64(1)
		}
		return int64(0)
	case float64:
		if k == math.Trunc(k) && k >= -1<<63 && k < 1<<63 {
			return int64(k)
		}
	}
	return key
}

// undefined is the value of a name or attribute that is not there. It prints as
// nothing, is false and has no elements; any other use is an error with this message.
type undefined struct{ message string }

// namespace is the one value that templates can change.
type namespace struct{ attrs *Dict }

// stream is what a filter yields one by one: it can be iterated over once.
type stream struct{ items []any }

// function is a callable of this package.
type function struct {
	name     string
	params   []string
	required uint
	call     func(r *run, v []any) any // v holds absent for an argument that is not given
}

// absent stands for an argument that is not given.
type absent struct{}

// typeName is Python's name of a value's type.
func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case *List:
		if v.text != "" {
			return "range"
		}
		if v.Tuple {
			return "tuple"
		}
		return "list"
	case *Dict:
		return "dict"
	case undefined:
		return "Undefined"
	case *namespace:
		return "Namespace"
	case *stream:
		return "generator"
	case *loop:
		return "LoopContext"
	case *macro:
		return "Macro"
	}
	return "function"
}

// objectName names a value as the messages of jinja2 about missing attributes do.
func objectName(v any) string {
	if v == nil {
		return "'None'"
	}
	return "'" + typeName(v) + " object'"
}

// truth is Python's bool(v).
func truth(v any) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case *List:
		return len(v.Items) > 0
	case *Dict:
		return len(v.keys) > 0
	}
	return true
}

// number returns a bool, int64 or float64 as a float64.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// integer returns a bool or int64 as an int64.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int64:
		return v, true
	}
	return 0, false
}

// compareNumbers orders two numbers, exactly: an integer is not rounded to a float.
func compareNumbers(a, b any) (order int, comparable bool) {
	x, okX := integer(a)
	y, okY := integer(b)
	if okX && okY {
		return cmp.Compare(x, y), true
	}
	f, okF := number(a)
	g, okG := number(b)
	if !okF || !okG || math.IsNaN(f) || math.IsNaN(g) {
		return 0, false
	}
	switch {
	case okX:
		return compareExactly(x, g), true
	case okY:
		return -compareExactly(y, f), true
	}
	return cmp.Compare(f, g), true
}

// compareExactly orders an integer and a float, which is no NaN.
func compareExactly(x int64, f float64) int {
	return new(big.Float).SetInt64(x).Cmp(big.NewFloat(f))
}

// equal is Python's a == b.
func (r *run) equal(a, b any) bool {
	r.step(1)
	if order, ok := compareNumbers(a, b); ok {
		return order == 0
	}
	switch a := a.(type) {
	case string:
		b, ok := b.(string)
		if ok {
			r.read(min(len(a), len(b)))
		}
		return ok && a == b
	case *List:
		b, ok := b.(*List)
		if !ok || len(a.Items) != len(b.Items) || a.Tuple != b.Tuple {
			return false
		}
		return r.agree(a.Items, b.Items) == len(a.Items)
	case *Dict:
		b, ok := b.(*Dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false
		}
		r.enter()
		defer r.leave()
		for _, key := range a.keys {
			other, ok := b.Get(key)
			if !ok || !r.equal(a.values[dictKey(key)], other) {
				return false
			}
		}
		return true
	case undefined:
		_, ok := b.(undefined)
		return ok
	case float64: // a NaN, or b is no number
		return false
	case bool, int64:
		return false
	}
	return a == b
}

// agree returns how many elements two lists have in common before they differ or end.
func (r *run) agree(x, y []any) int {
	r.enter()
	defer r.leave()
	for i := range min(len(x), len(y)) {
		if !r.equal(x[i], y[i]) {
			return i
		}
	}
	return min(len(x), len(y))
}

// compare is Python's order of numbers, of strings, and of lists by their elements.
func (r *run) compare(op string, a, b any) int {
	r.step(1)
	if order, ok := compareNumbers(a, b); ok {
		return order
	}
	switch x := a.(type) {
	case undefined:
		r.fail("%s", x.message)
	case string:
		if y, ok := b.(string); ok {
			r.read(min(len(x), len(y)))
			return strings.Compare(x, y)
		}
	case *List:
		if y, ok := b.(*List); ok && x.Tuple == y.Tuple {
			r.enter()
			defer r.leave()
			if i := r.agree(x.Items, y.Items); i < min(len(x.Items), len(y.Items)) {
				return r.compare(op, x.Items[i], y.Items[i])
			}
			return cmp.Compare(len(x.Items), len(y.Items))
		}
	}
	r.defined(b)
	r.fail("%q is not supported between %s and %s", op, typeName(a), typeName(b))
	return 0
}

// contains is Python's "item in v".
func (r *run) contains(v, item any) bool {
	switch v := v.(type) {
	case string:
		part, ok := item.(string)
		if !ok {
			r.defined(item)
			r.fail("\"in\" of a string wants a string, not %s", typeName(item))
		}
		r.read(len(v))
		return strings.Contains(v, part)
	case *Dict:
		r.hashable(item)
		_, ok := v.Get(item)
		return ok
	}
	for _, have := range r.iterate(v) {
		if r.equal(have, item) {
			return true
		}
	}
	return false
}

// hashable refuses what cannot be the key of a dictionary here.
func (r *run) hashable(key any) {
	switch key := key.(type) {
	case string:
		r.read(len(key))
		return
	case nil, bool, int64, float64:
		return
	}
	r.defined(key)
	r.fail("a %s as the key of a dictionary is not supported", typeName(key))
}

// iterate returns what a loop over v sees.
func (r *run) iterate(v any) []any {
	switch v := v.(type) {
	case *List:
		return v.Items
	case *Dict:
		return v.keys
	case *stream:
		items := v.items
		v.items = nil
		return items
	case undefined:
		return nil
	case string:
		r.made(len(v) * wordBytes)
		out := make([]any, 0, len(v))
		for _, char := range v {
			out = append(out, string(char))
		}
		return out
	}
	r.fail("a value of type %s cannot be iterated over", typeName(v))
	return nil
}

// FromJSON reads a JSON document with its objects' keys in order. Numbers without a
// fraction or exponent are int64.
func FromJSON(raw []byte) (any, error) {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	v, err := readJSON(d, 0)
	if err != nil {
		return nil, err
	}
	if d.More() {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return v, nil
}

// maxJSONNesting bounds the depth of objects and arrays.
const maxJSONNesting = 200

func readJSON(d *json.Decoder, depth int) (any, error) {
	if depth > maxJSONNesting {
		return nil, fmt.Errorf("nested more than %d levels deep", maxJSONNesting)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		if !strings.ContainsAny(t.String(), ".eE") {
			n, err := t.Int64()
			if err != nil {
				return nil, fmt.Errorf("the number %s has more than 64 bits", t)
			}
			return n, nil
		}
		return t.Float64()
	case json.Delim:
		if t == '[' {
			list := &List{Items: []any{}}
			for d.More() {
				v, err := readJSON(d, depth+1)
				if err != nil {
					return nil, err
				}
				list.Items = append(list.Items, v)
			}
			_, err := d.Token()
			return list, err
		}
		dict := NewDict()
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := readJSON(d, depth+1)
			if err != nil {
				return nil, err
			}
			dict.Set(key, v)
		}
		_, err := d.Token()
		return dict, err
	}
	return t, nil // nil, bool or string
}
