package jinja

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

// str is Python's str(v): what {{ v }} prints.
func (r *run) str(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case undefined:
		return ""
	}
	var out pieces
	r.repr(&out, v)
	return out.String()
}

// repr appends Python's repr(v).
func (r *run) repr(out *pieces, v any) {
	r.step(1)
	before := out.Len()
	switch v := v.(type) {
	case nil:
		out.add("None")
	case bool:
		out.add(map[bool]string{true: "True", false: "False"}[v])
	case int64:
		out.add(strconv.FormatInt(v, 10))
	case float64:
		out.add(floatText(v))
	case string:
		r.read(len(v))
		quote(out, v)
	case undefined:
		out.add("Undefined")
	case *List:
		r.reprList(out, v)
		return // its parts are counted
	case *Dict:
		r.reprDict(out, v)
		return
	default:
		r.fail("a %s cannot be printed: Python prints its address", typeName(v))
	}
	r.made(out.Len() - before)
}

func (r *run) reprList(out *pieces, l *List) {
	if l.text != "" {
		r.made(len(l.text))
		out.add(l.text)
		return
	}
	r.enter()
	defer r.leave()
	brackets := "[]"
	if l.Tuple {
		brackets = "()"
	}
	out.addByte(brackets[0])
	for i, item := range l.Items {
		if i > 0 {
			out.add(", ")
		}
		r.repr(out, item)
	}
	if l.Tuple && len(l.Items) == 1 {
		out.addByte(',')
	}
	out.addByte(brackets[1])
	r.made(2 + 2*len(l.Items))
}

func (r *run) reprDict(out *pieces, d *Dict) {
	r.enter()
	defer r.leave()
	out.addByte('{')
	for i, key := range d.keys {
		if i > 0 {
			out.add(", ")
		}
		r.repr(out, key)
		out.add(": ")
		r.repr(out, d.values[dictKey(key)])
	}
	out.addByte('}')
	r.made(2 + 4*len(d.keys))
}

// floatText is Python's repr of a float: the shortest digits that read back, with an
// exponent below 1e-4 and from 1e16.
func floatText(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	if abs := math.Abs(f); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// quote appends a string as Python's repr writes it.
func quote(out *pieces, s string) {
	mark := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		mark = '"'
	}
	out.addByte(mark)
	for _, char := range s {
		switch {
		case char == rune(mark) || char == '\\':
			out.addByte('\\')
			out.addRune(char)
		case char == '\n':
			out.add(`\n`)
		case char == '\r':
			out.add(`\r`)
		case char == '\t':
			out.add(`\t`)
		case unicode.IsPrint(char):
			out.addRune(char)
		case char < 0x100:
			hex(out, `\x`, char, 2)
		case char < 0x10000:
			hex(out, `\u`, char, 4)
		default:
			hex(out, `\U`, char, 8)
		}
	}
	out.addByte(mark)
}

// hex appends an escape with so many lower-case digits.
func hex(out *pieces, prefix string, char rune, digits int) {
	out.add(prefix)
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		out.addByte("0123456789abcdef"[char>>shift&15])
	}
}

// jsonStyle says how tojson writes: the arguments of Python's json.dumps.
type jsonStyle struct {
	item, key string // separators
	indent    string // the indent of one level
	lines     bool   // a line of its own for each element
	ascii     bool
	sorted    bool
}

// json appends v as json.dumps writes it. newline is what begins a line at v's level.
func (r *run) json(out *pieces, v any, f *jsonStyle, newline string) {
	r.step(1)
	before := out.Len()
	switch v := v.(type) {
	case nil:
		out.add("null")
	case bool:
		out.add(strconv.FormatBool(v))
	case int64:
		out.add(strconv.FormatInt(v, 10))
	case float64:
		out.add(jsonFloat(v))
	case string:
		r.read(len(v))
		jsonString(out, v, f.ascii)
	case *List:
		if v.text != "" {
			r.fail("a range cannot be written as JSON")
		}
		r.jsonParts(out, "[]", len(v.Items), f, newline, func(i int, deeper string) { r.json(out, v.Items[i], f, deeper) })
		return
	case *Dict:
		keys := v.keys
		if f.sorted {
			keys = r.sorted(keys, false, func(key any) any { return key })
		}
		r.jsonParts(out, "{}", len(keys), f, newline, func(i int, deeper string) {
			jsonString(out, r.jsonKey(keys[i]), f.ascii)
			out.add(f.key)
			r.json(out, v.values[dictKey(keys[i])], f, deeper)
		})
		return
	default:
		r.fail("a value of type %s cannot be written as JSON", typeName(v))
	}
	r.made(out.Len() - before)
}

func (r *run) jsonParts(out *pieces, brackets string, n int, f *jsonStyle, newline string, part func(i int, deeper string)) {
	r.enter()
	defer r.leave()
	out.addByte(brackets[0])
	deeper := newline
	if f.lines {
		r.made(len(newline) + len(f.indent))
		deeper = newline + f.indent
	}
	for i := range n {
		if i > 0 {
			out.add(f.item)
		}
		if f.lines {
			out.add(deeper)
		}
		part(i, deeper)
		r.made(len(f.item) + len(f.key) + len(deeper))
	}
	if f.lines && n > 0 {
		out.add(newline)
	}
	out.addByte(brackets[1])
	r.made(2 + len(newline))
}

func (r *run) jsonKey(key any) string {
	switch k := key.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(k)
	case float64:
		return jsonFloat(k)
	}
	return r.str(key)
}

func jsonFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case math.IsNaN(f):
		return "NaN"
	}
	return floatText(f)
}

// jsonEscapes are the short escapes of JSON.
var jsonEscapes = map[rune]string{
	'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`,
}

// jsonString appends a string as json.dumps writes it, with all but ASCII escaped
// where ascii is set.
func jsonString(out *pieces, s string, ascii bool) {
	out.addByte('"')
	for _, char := range s {
		if short, ok := jsonEscapes[char]; ok {
			out.add(short)
			continue
		}
		switch {
		case char < 0x20, ascii && char == 0x7f:
			hex(out, `\u`, char, 4)
		case !ascii || char < 0x80:
			out.addRune(char)
		case char < 0x10000:
			hex(out, `\u`, char, 4)
		default: // a surrogate pair
			hex(out, `\u`, 0xd800+(char-0x10000)>>10, 4)
			hex(out, `\u`, 0xdc00+(char-0x10000)&0x3ff, 4)
		}
	}
	out.addByte('"')
}
