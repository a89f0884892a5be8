package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// refusedFilters are filters of jinja2 that have no place in a chat template: for HTML,
// of random results, or with formats of their own.
var refusedFilters = []string{
	"e", "escape", "forceescape", "filesizeformat", "format", "groupby", "pprint", "random", "striptags", "urlencode",
	"urlize", "wordwrap", "xmlattr",
}

// filters by name; the first parameter is the value filtered.
var filters = map[string]*function{
	"abs":        {"abs", []string{"x"}, 1, absolute},
	"attr":       {"attr", []string{"obj", "name"}, 2, func(r *run, v []any) any { return r.attrOnly(v[0], r.wantText("attr", v[1])) }},
	"batch":      {"batch", []string{"value", "linecount", "fill_with"}, 2, batch},
	"capitalize": {"capitalize", []string{"s"}, 1, textFilter(capitalized)},
	"center":     {"center", []string{"value", "width"}, 1, center},
	"count":      {"count", []string{"obj"}, 1, length},
	"d":          {"d", []string{"value", "default_value", "boolean"}, 1, defaultTo},
	"default":    {"default", []string{"value", "default_value", "boolean"}, 1, defaultTo},
	"dictsort":   {"dictsort", []string{"value", "case_sensitive", "by", "reverse"}, 1, dictSort},
	"first":      {"first", []string{"seq"}, 1, first},
	"float":      {"float", []string{"value", "default"}, 1, toFloat},
	"indent":     {"indent", []string{"s", "width", "first", "blank"}, 1, indent},
	"int":        {"int", []string{"value", "default", "base"}, 1, toInt},
	"items":      {"items", []string{"value"}, 1, items},
	"join":       {"join", []string{"value", "d", "attribute"}, 1, joinFilter},
	"last":       {"last", []string{"seq"}, 1, last},
	"length":     {"length", []string{"obj"}, 1, length},
	"list":       {"list", []string{"value"}, 1, func(r *run, v []any) any { return r.list(slices.Clone(r.iterate(v[0]))) }},
	"lower":      {"lower", []string{"s"}, 1, textFilter(lower)},
	"map":        {"map", []string{"value", "*", "**"}, 1, mapFilter},
	"max":        {"max", []string{"value", "case_sensitive", "attribute"}, 1, func(r *run, v []any) any { return r.extreme(v, 1) }},
	"min":        {"min", []string{"value", "case_sensitive", "attribute"}, 1, func(r *run, v []any) any { return r.extreme(v, -1) }},
	"reject":     {"reject", []string{"value", "*"}, 1, func(r *run, v []any) any { return r.choose(v, false, false) }},
	"rejectattr": {"rejectattr", []string{"value", "*"}, 1, func(r *run, v []any) any { return r.choose(v, true, false) }},
	"replace":    {"replace", []string{"s", "old", "new", "count"}, 3, replaceFilter},
	"reverse":    {"reverse", []string{"value"}, 1, reverse},
	"round":      {"round", []string{"value", "precision", "method"}, 1, round},
	"safe":       {"safe", []string{"value"}, 1, func(r *run, v []any) any { return r.text(r.str(v[0])) }},
	"select":     {"select", []string{"value", "*"}, 1, func(r *run, v []any) any { return r.choose(v, false, true) }},
	"selectattr": {"selectattr", []string{"value", "*"}, 1, func(r *run, v []any) any { return r.choose(v, true, true) }},
	"slice":      {"slice", []string{"value", "slices", "fill_with"}, 2, sliceFilter},
	"sort":       {"sort", []string{"value", "reverse", "case_sensitive", "attribute"}, 1, sortFilter},
	"string":     {"string", []string{"value"}, 1, func(r *run, v []any) any { return r.text(r.str(v[0])) }},
	"sum":        {"sum", []string{"iterable", "attribute", "start"}, 1, sum},
	"title":      {"title", []string{"s"}, 1, textFilter(wordsTitled)},
	"tojson":     {"tojson", []string{"x", "ensure_ascii", "indent", "separators", "sort_keys"}, 1, toJSON},
	"trim":       {"trim", []string{"value", "chars"}, 1, func(r *run, v []any) any { return r.trim(r.str(v[0]), v[1], strings.TrimFunc) }},
	"truncate":   {"truncate", []string{"s", "length", "killwords", "end", "leeway"}, 1, truncate},
	"unique":     {"unique", []string{"value", "case_sensitive", "attribute"}, 1, unique},
	"upper":      {"upper", []string{"s"}, 1, textFilter(upper)},
	"wordcount":  {"wordcount", []string{"s"}, 1, wordCount},
}

func textFilter(f func(string) string) func(*run, []any) any {
	return func(r *run, v []any) any {
		s := r.str(v[0])
		r.made(len(s))
		return f(s)
	}
}

func absolute(r *run, v []any) any {
	if n, ok := integer(v[0]); ok {
		if n < 0 {
			return r.integers("-", 0, n)
		}
		return n
	}
	f, ok := v[0].(float64)
	if !ok {
		r.defined(v[0])
		r.fail("abs wants a number, not a %s", typeName(v[0]))
	}
	return math.Abs(f)
}

// attrOnly is attr without the elements.
func (r *run) attrOnly(v any, name string) any {
	r.defined(v)
	r.read(len(name))
	if found, ok := r.member(v, name); ok && !strings.HasPrefix(name, "_") {
		return found
	}
	return missing(v, name)
}

func center(r *run, v []any) any {
	s := r.str(v[0])
	space := max(0, intOr(r, "center", v[1], 80)-int64(utf8.RuneCountInString(s)))
	if space > r.limits.Bytes {
		r.beyond()
	}
	r.made(len(s) + int(space))
	width := int(space) + utf8.RuneCountInString(s)
	left := int(space)/2 + int(space)&width&1
	return strings.Repeat(" ", left) + s + strings.Repeat(" ", int(space)-left)
}

func length(r *run, v []any) any {
	switch v := v[0].(type) {
	case string:
		r.read(len(v))
		return int64(utf8.RuneCountInString(v))
	case *List:
		return int64(len(v.Items))
	case *Dict:
		return int64(len(v.keys))
	case undefined:
		return int64(0)
	case *loop:
		return int64(len(v.items))
	}
	r.fail("a value of type %s has no length", typeName(v[0]))
	return nil
}

func defaultTo(_ *run, v []any) any {
	_, missing := v[0].(undefined)
	if missing || boolOr(v[2], false) && !truth(v[0]) {
		if v[1] == (absent{}) {
			return ""
		}
		return v[1]
	}
	return v[0]
}

func replaceFilter(r *run, v []any) any {
	count := int64(-1)
	if v[3] != nil {
		count = intOr(r, "replace", v[3], -1)
	}
	return r.replace(r.str(v[0]), r.wantText("replace", v[1]), r.wantText("replace", v[2]), count)
}

func round(r *run, v []any) any {
	precision := intOr(r, "round", v[1], 0)
	method := textOr(r, v[2], "common")
	if n, ok := integer(v[0]); ok && precision >= 0 && method == "common" {
		return n
	}
	f, ok := number(v[0])
	if !ok {
		r.defined(v[0])
		r.fail("round wants a number, not a %s", typeName(v[0]))
	}
	if precision < 0 || precision > 300 || math.IsInf(f, 0) || math.IsNaN(f) {
		r.fail("round to %d digits is not supported", precision)
	}
	scale := math.Pow(10, float64(precision))
	switch method {
	case "common": // the nearest decimal, of two the even one
		f, _ = strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(precision), 64), 64)
	case "ceil":
		f = math.Ceil(f*scale) / scale
	case "floor":
		f = math.Floor(f*scale) / scale
	default:
		r.fail("round: the method is common, ceil or floor")
	}
	return f
}

func toFloat(r *run, v []any) any {
	r.defined(v[0])
	if f, ok := number(v[0]); ok {
		return f
	}
	if s, ok := v[0].(string); ok {
		r.read(4 * len(s))
		if f, ok := parseFloat(s); ok {
			return f
		}
	}
	if v[1] == (absent{}) {
		return 0.0
	}
	return v[1]
}

// parseFloat reads a float as Python's float(s) does.
func parseFloat(s string) (float64, bool) {
	s = strings.TrimFunc(s, isSpace)
	if strings.ContainsAny(s, "xXpP") || strings.Contains(s, "__") || strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	return f, err == nil || math.IsInf(f, 0)
}

func toInt(r *run, v []any) any {
	r.defined(v[0])
	if n, ok := integer(v[0]); ok {
		return n
	}
	if base := intOr(r, "int", v[2], 10); base != 10 {
		r.fail("int: the base %d is not supported", base)
	}
	f, ok := v[0].(float64)
	if s, text := v[0].(string); text {
		r.read(4 * len(s))
		if n, err := strconv.ParseInt(strings.TrimFunc(s, isSpace), 10, 64); err == nil {
			return n
		}
		f, ok = parseFloat(s)
	}
	switch {
	case ok && math.Abs(f) < 1<<63:
		return int64(f)
	case ok && !math.IsInf(f, 0) && !math.IsNaN(f):
		r.fail("int: the number has more than 64 bits")
	case v[1] != (absent{}):
		return v[1]
	}
	return int64(0)
}

func indent(r *run, v []any) any {
	s := r.wantText("indent", v[0])
	pad, ok := v[1].(string)
	if !ok {
		width := max(0, intOr(r, "indent", v[1], 4))
		if width > r.limits.Bytes {
			r.beyond()
		}
		r.made(int(width))
		pad = strings.Repeat(" ", int(width))
	}
	blank := boolOr(v[3], false)
	r.ends(s, isLineEnd)
	lines := splitLines(s+"\n", false)
	var out pieces
	for i, line := range lines {
		if i > 0 {
			out.addByte('\n')
		}
		if i > 0 && (line != "" || blank) || i == 0 && boolOr(v[2], false) {
			r.made(len(pad))
			out.add(pad)
		}
		r.made(len(line) + 1)
		out.add(line)
	}
	return out.String()
}

func truncate(r *run, v []any) any {
	s, end := r.wantText("truncate", v[0]), textOr(r, v[3], "...")
	length := intOr(r, "truncate", v[1], 255)
	leeway := int64(5)
	if v[4] != nil {
		leeway = intOr(r, "truncate", v[4], 5)
	}
	cut := length - int64(utf8.RuneCountInString(end))
	if cut < 0 || leeway < 0 {
		r.fail("truncate: the length is below that of the end, or the leeway below 0")
	}
	r.read(len(s))
	if int64(utf8.RuneCountInString(s)) <= length+leeway {
		return s
	}
	s = runes(s, 0, int(cut))
	if at := strings.LastIndexByte(s, ' '); at >= 0 && !boolOr(v[2], false) {
		s = s[:at]
	}
	return r.text(s + end)
}

func wordCount(r *run, v []any) any {
	s := r.str(v[0])
	r.read(4 * len(s))
	n, inside := int64(0), false
	for _, c := range s {
		word := c == '_' || unicode.IsLetter(c) || unicode.IsNumber(c)
		if word && !inside {
			n++
		}
		inside = word
	}
	return n
}

// toJSON is the filter as transformers defines it: json.dumps with all of Unicode as
// it is.
func toJSON(r *run, v []any) any {
	f := &jsonStyle{item: ", ", key: ": ", ascii: boolOr(v[1], false), sorted: boolOr(v[4], false)}
	if given(v[2]) {
		f.lines, f.item = true, ","
		if text, ok := v[2].(string); ok {
			f.indent = text
		} else if n := intOr(r, "tojson", v[2], 0); n > 0 {
			f.indent = strings.Repeat(" ", int(min(n, 1<<10)))
		}
	}
	if given(v[3]) {
		parts := r.iterate(v[3])
		if len(parts) != 2 {
			r.fail("tojson: separators are two strings")
		}
		f.item, f.key = r.wantText("tojson", parts[0]), r.wantText("tojson", parts[1])
	}
	var out pieces
	r.json(&out, v[0], f, "\n")
	return out.String()
}
