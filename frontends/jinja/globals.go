package jinja

import (
	"fmt"
	"math"
	"time"
)

// maxRange is the most elements of a range, as in jinja2's sandbox.
const maxRange = 100_000

// unnamed is a parameter that takes no argument by name: no template can write it.
const unnamed = "(mapping)"

// globals are the names that every template sees.
var globals = map[string]any{
	"range": &function{"range", []string{"start", "stop", "step"}, 1, newRange},
	"dict":  &function{"dict", []string{unnamed, "**"}, 0, newDict},
	"namespace": &function{"namespace", []string{unnamed, "**"}, 0, func(r *run, v []any) any {
		n := &namespace{NewDict()}
		d := newDict(r, v).(*Dict)
		for _, key := range d.keys {
			r.setAttr(n, r.str(key), d.values[dictKey(key)])
		}
		return n
	}},
	"raise_exception": &function{"raise_exception", []string{"message"}, 1, func(r *run, v []any) any {
		r.fail("the template says: %s", r.str(v[0]))
		return nil
	}},
	"strftime_now": &function{"strftime_now", []string{"format"}, 1, func(r *run, v []any) any {
		return r.text(r.strftime(r.wantText("strftime_now", v[0])))
	}},
	"joiner": &function{"joiner", []string{"sep"}, 0, func(r *run, v []any) any {
		sep, used := textOr(r, v[0], ", "), false
		return &function{"joiner", nil, 0, func(*run, []any) any {
			if !used {
				used = true
				return ""
			}
			return sep
		}}
	}},
}

func newRange(r *run, v []any) any {
	bound := func(v any) int64 {
		n, ok := integer(v)
		if !ok {
			r.defined(v)
			r.fail("range wants integers, not a %s", typeName(v))
		}
		return n
	}
	start, stop, step := int64(0), bound(v[0]), int64(1)
	if v[1] != (absent{}) {
		start, stop = stop, bound(v[1])
	}
	text := fmt.Sprintf("range(%d, %d)", start, stop)
	if v[2] != (absent{}) {
		if step = bound(v[2]); step != 1 {
			text = fmt.Sprintf("range(%d, %d, %d)", start, stop, step)
		}
	}
	if step == 0 {
		r.fail("the step of a range is 0")
	}
	n := 0.0
	if step > 0 && stop > start || step < 0 && stop < start {
		n = math.Ceil((float64(stop) - float64(start)) / float64(step))
	}
	if n > maxRange {
		r.fail("range has more than %d elements, which the sandbox blocks", maxRange)
	}
	l := r.list(make([]any, 0, int(n)))
	r.made(int(n) * wordBytes)
	for range int(n) {
		l.Items = append(l.Items, start)
		start += step
	}
	l.text = text
	return l
}

// newDict copies a dictionary, or the pairs of a list, and adds what is given by name.
func newDict(r *run, v []any) any {
	d := NewDict()
	add := func(key, value any) {
		r.hashable(key)
		r.made(entryBytes)
		d.Set(key, value)
	}
	switch from := v[0].(type) {
	case absent:
	case *Dict:
		for _, key := range from.keys {
			add(key, from.values[dictKey(key)])
		}
	default:
		for _, pair := range r.iterate(from) {
			items := r.iterate(pair)
			if len(items) != 2 {
				r.fail("a dictionary is made of pairs, not of %d values", len(items))
			}
			add(items[0], items[1])
		}
	}
	named := v[1].(*Dict)
	for _, key := range named.keys {
		add(key, named.values[key])
	}
	return d
}

// directives are those of strftime in the C locale, as layouts of package time or, for
// those that have none, as functions.
var directives = map[string]any{
	"a": "Mon", "A": "Monday", "b": "Jan", "h": "Jan", "B": "January", "d": "02", "e": "_2", "m": "01", "y": "06", "Y": "2006",
	"H": "15", "I": "03", "M": "04", "S": "05", "p": "PM", "j": "002", "F": "2006-01-02", "T": "15:04:05", "R": "15:04",
	"D": "01/02/06", "x": "01/02/06", "X": "15:04:05", "c": "Mon Jan _2 15:04:05 2006",
	"-d": "2", "-m": "1", "-I": "3",
	"-H": func(t time.Time) string { return fmt.Sprint(t.Hour()) },
	"-M": func(t time.Time) string { return fmt.Sprint(t.Minute()) },
	"-S": func(t time.Time) string { return fmt.Sprint(t.Second()) },
	"-j": func(t time.Time) string { return fmt.Sprint(t.YearDay()) },
	"f":  func(t time.Time) string { return fmt.Sprintf("%06d", t.Nanosecond()/1000) },
	"w":  func(t time.Time) string { return fmt.Sprint(int(t.Weekday())) },
	"%":  func(time.Time) string { return "%" },
	"n":  func(time.Time) string { return "\n" },
	"t":  func(time.Time) string { return "\t" },
	"Z":  func(time.Time) string { return "" }, // Python's datetime.now() knows no zone
	"z":  func(time.Time) string { return "" },
}

// strftime formats the run's time.
func (r *run) strftime(format string) string {
	var out []byte
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			out = append(out, format[i])
			continue
		}
		name := format[i+1 : min(i+2, len(format))]
		if name == "-" {
			name = format[i+1 : min(i+3, len(format))]
		}
		switch d := directives[name].(type) {
		case string:
			out = r.now.AppendFormat(out, d)
		case func(time.Time) string:
			out = append(out, d(r.now)...)
		default:
			r.fail("strftime_now: the directive %%%s is not supported", name)
		}
		i += len(name)
	}
	return string(out)
}

// given reports whether an argument is given and not None.
func given(v any) bool { return v != nil && v != (absent{}) }

// wantText returns an argument that must be a string.
func (r *run) wantText(what string, v any) string {
	s, ok := v.(string)
	if !ok {
		r.defined(v)
		r.fail("%s wants a string, not a %s", what, typeName(v))
	}
	return s
}

// wantInt returns an argument that must be an integer.
func (r *run) wantInt(what string, v any) int64 {
	n, ok := integer(v)
	if !ok {
		r.defined(v)
		r.fail("%s wants an integer, not a %s", what, typeName(v))
	}
	return n
}

// textOr, boolOr and intOr return an argument, or what stands for one not given.
func textOr(r *run, v any, otherwise string) string {
	if _, missing := v.(absent); missing {
		return otherwise
	}
	return r.str(v)
}

func boolOr(v any, otherwise bool) bool {
	if _, missing := v.(absent); missing {
		return otherwise
	}
	return truth(v)
}

func intOr(r *run, what string, v any, otherwise int64) int64 {
	if _, missing := v.(absent); missing {
		return otherwise
	}
	return r.wantInt(what, v)
}
