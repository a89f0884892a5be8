package jinja

import (
	"unicode"
)

// tests are what can follow "is", by name.
var tests = map[string]*function{
	"defined":   test(func(_ *run, v any) bool { _, not := v.(undefined); return !not }),
	"undefined": test(func(_ *run, v any) bool { _, is := v.(undefined); return is }),
	"none":      test(func(_ *run, v any) bool { return v == nil }),
	"boolean":   test(func(_ *run, v any) bool { _, is := v.(bool); return is }),
	"true":      test(func(_ *run, v any) bool { return v == true }),
	"false":     test(func(_ *run, v any) bool { return v == false }),
	"integer":   test(func(_ *run, v any) bool { _, is := v.(int64); return is }),
	"float":     test(func(_ *run, v any) bool { _, is := v.(float64); return is }),
	"number":    test(func(_ *run, v any) bool { _, is := number(v); return is }),
	"string":    test(func(_ *run, v any) bool { _, is := v.(string); return is }),
	"mapping":   test(func(_ *run, v any) bool { _, is := v.(*Dict); return is }),
	"sequence":  test(func(_ *run, v any) bool { return isSequence(v) }),
	"iterable":  test(isIterable),
	"callable":  test(isCallable),
	"odd":       test(func(r *run, v any) bool { return r.equal(r.arithmetic("%", v, int64(2)), int64(1)) }),
	"even":      test(func(r *run, v any) bool { return r.equal(r.arithmetic("%", v, int64(2)), int64(0)) }),
	"upper":     test(func(r *run, v any) bool { return r.cased(r.str(v), unicode.IsUpper, unicode.IsLower) }),
	"lower":     test(func(r *run, v any) bool { return r.cased(r.str(v), unicode.IsLower, unicode.IsUpper) }),
	"divisibleby": test2(func(r *run, v, by any) bool {
		return r.equal(r.arithmetic("%", v, by), int64(0))
	}),
	"in":          test2(func(r *run, v, in any) bool { return r.contains(in, v) }),
	"sameas":      test2(same),
	"==":          test2((*run).equal),
	"eq":          test2((*run).equal),
	"equalto":     test2((*run).equal),
	"!=":          comparing("!="),
	"ne":          comparing("!="),
	"<":           comparing("<"),
	"lt":          comparing("<"),
	"lessthan":    comparing("<"),
	"<=":          comparing("<="),
	"le":          comparing("<="),
	">":           comparing(">"),
	"gt":          comparing(">"),
	"greaterthan": comparing(">"),
	">=":          comparing(">="),
	"ge":          comparing(">="),
}

func test(f func(r *run, v any) bool) *function {
	return &function{"the test", []string{"value"}, 1, func(r *run, v []any) any { return f(r, v[0]) }}
}

func test2(f func(r *run, v, other any) bool) *function {
	return &function{"the test", []string{"value", "other"}, 2, func(r *run, v []any) any { return f(r, v[0], v[1]) }}
}

func comparing(op string) *function {
	return test2(func(r *run, v, other any) bool { return r.holds(op, v, other) })
}

func isSequence(v any) bool {
	switch v.(type) {
	case string, *List, *Dict:
		return true
	}
	return false
}

func isIterable(_ *run, v any) bool {
	switch v.(type) {
	case *stream, undefined, *loop:
		return true
	}
	return isSequence(v)
}

func isCallable(_ *run, v any) bool {
	switch v.(type) {
	case *function, *macro, *loop, undefined:
		return true
	}
	return false
}

// same is Python's "is" where it can be told: of None, booleans and values that
// templates share.
func same(r *run, v, other any) bool {
	switch v.(type) {
	case nil, bool, *List, *Dict, *namespace:
		return v == other
	}
	r.fail("sameas of a %s is not supported: Python compares addresses", typeName(v))
	return false
}
