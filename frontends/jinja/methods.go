package jinja

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// member returns a method or attribute of a value, as Python's getattr finds it.
func (r *run) member(v any, name string) (any, bool) {
	switch v := v.(type) {
	case string:
		return r.method(v, name, textMethods, refusedTextMethods)
	case *Dict:
		return r.method(v, name, dictMethods, refusedDictMethods)
	case *List:
		return r.method(v, name, listMethods, refusedListMethods)
	case *namespace:
		return v.attrs.Get(name)
	case *loop:
		return r.loopMember(v, name)
	case *macro:
		if name == "name" {
			return v.name, true
		}
	}
	return nil, false
}

// method finds a method and binds it to v. Methods that Python has and a template may
// not call, or that are not supported here, are errors.
func (r *run) method(v any, name string, known map[string]*function, refused []string) (any, bool) {
	if slices.Contains(refused, name) {
		r.fail("the method %s of a %s is not supported in a chat template", name, typeName(v))
	}
	m, ok := known[name]
	if !ok {
		return nil, false
	}
	return &function{name, m.params, m.required, func(r *run, args []any) any {
		return m.call(r, append([]any{v}, args...))
	}}, true
}

var refusedDictMethods = []string{"clear", "pop", "popitem", "setdefault", "update", "fromkeys"} // they change it

var dictMethods = map[string]*function{
	"keys":  {"keys", nil, 0, func(r *run, v []any) any { return r.list(v[0].(*Dict).keys) }},
	"items": {"items", nil, 0, func(r *run, v []any) any { return r.pairs(v[0].(*Dict)) }},
	"copy":  {"copy", nil, 0, func(_ *run, v []any) any { return v[0] }},
	"values": {"values", nil, 0, func(r *run, v []any) any {
		d := v[0].(*Dict)
		r.made(len(d.keys) * wordBytes)
		l := &List{Items: make([]any, 0, len(d.keys))}
		for _, key := range d.keys {
			l.Items = append(l.Items, d.values[dictKey(key)])
		}
		return l
	}},
	"get": {"get", []string{"key", "default"}, 1, func(r *run, v []any) any {
		r.hashable(v[1])
		if value, ok := v[0].(*Dict).Get(v[1]); ok {
			return value
		}
		if v[2] == (absent{}) {
			return nil
		}
		return v[2]
	}},
}

// pairs lists the keys and values of a dictionary as tuples.
func (r *run) pairs(d *Dict) *List {
	r.made(3 * wordBytes * len(d.keys))
	l := &List{}
	for _, key := range d.keys {
		l.Items = append(l.Items, &List{Items: []any{key, d.values[dictKey(key)]}, Tuple: true})
	}
	return l
}

var refusedListMethods = []string{"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"} // they change it

var listMethods = map[string]*function{
	"copy": {"copy", nil, 0, func(_ *run, v []any) any { return v[0] }},
	"count": {"count", []string{"value"}, 1, func(r *run, v []any) any {
		n := int64(0)
		for _, item := range v[0].(*List).Items {
			if r.equal(item, v[1]) {
				n++
			}
		}
		return n
	}},
	"index": {"index", []string{"value"}, 1, func(r *run, v []any) any {
		for i, item := range v[0].(*List).Items {
			if r.equal(item, v[1]) {
				return int64(i)
			}
		}
		r.fail("the value is not in the list")
		return nil
	}},
}

// refusedTextMethods are Python's that chat templates do not use.
var refusedTextMethods = []string{
	"casefold", "center", "encode", "expandtabs", "format", "format_map", "isalnum", "isascii", "isdecimal", "isidentifier",
	"isnumeric", "isprintable", "istitle", "ljust", "maketrans", "rjust", "swapcase", "translate", "zfill",
}

var textMethods = map[string]*function{
	"upper":      onText(upper),
	"lower":      onText(lower),
	"title":      onText(titled),
	"capitalize": onText(capitalized),
	"isspace":    textTest(isSpace),
	"isalpha":    textTest(unicode.IsLetter),
	"isdigit":    textTest(unicode.IsDigit),
	"isupper": {"isupper", nil, 0, func(r *run, v []any) any {
		return r.cased(v[0].(string), unicode.IsUpper, unicode.IsLower)
	}},
	"islower": {"islower", nil, 0, func(r *run, v []any) any {
		return r.cased(v[0].(string), unicode.IsLower, unicode.IsUpper)
	}},
	"strip":        trimming(strings.TrimFunc),
	"lstrip":       trimming(strings.TrimLeftFunc),
	"rstrip":       trimming(strings.TrimRightFunc),
	"startswith":   affix(strings.HasPrefix),
	"endswith":     affix(strings.HasSuffix),
	"removeprefix": cutting(strings.TrimPrefix),
	"removesuffix": cutting(strings.TrimSuffix),
	"find":         finding(strings.Index, false),
	"rfind":        finding(strings.LastIndex, false),
	"index":        finding(strings.Index, true),
	"rindex":       finding(strings.LastIndex, true),
	"partition":    parting(strings.Index, false),
	"rpartition":   parting(strings.LastIndex, true),
	"split":        {"split", []string{"sep", "maxsplit"}, 0, func(r *run, v []any) any { return r.split(v, false) }},
	"rsplit":       {"rsplit", []string{"sep", "maxsplit"}, 0, func(r *run, v []any) any { return r.split(v, true) }},
	"splitlines": {"splitlines", []string{"keepends"}, 0, func(r *run, v []any) any {
		r.ends(v[0].(string), isLineEnd)
		return r.texts(splitLines(v[0].(string), boolOr(v[1], false)))
	}},
	"replace": {"replace", []string{"old", "new", "count"}, 2, func(r *run, v []any) any {
		return r.replace(v[0].(string), r.wantText("replace", v[1]), r.wantText("replace", v[2]), intOr(r, "replace", v[3], -1))
	}},
	"count": {"count", []string{"sub"}, 1, func(r *run, v []any) any {
		r.read(len(v[0].(string)))
		return int64(strings.Count(v[0].(string), r.wantText("count", v[1])))
	}},
	"join": {"join", []string{"parts"}, 1, func(r *run, v []any) any {
		items := r.iterate(v[1])
		for i, item := range items {
			if _, ok := item.(string); !ok {
				r.defined(item)
				r.fail("join wants strings, but element %d is a %s", i, typeName(item))
			}
		}
		return r.join(items, v[0].(string))
	}},
}

func onText(f func(string) string) *function {
	return &function{"the method", nil, 0, func(r *run, v []any) any {
		s := v[0].(string)
		r.made(len(s))
		return f(s)
	}}
}

// textTest says that a string has characters and all of them are of a kind.
func textTest(is func(rune) bool) *function {
	return &function{"the method", nil, 0, func(r *run, v []any) any {
		s := v[0].(string)
		r.read(len(s))
		return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return !is(c) })
	}}
}

func trimming(trim func(string, func(rune) bool) string) *function {
	return &function{"strip", []string{"chars"}, 0, func(r *run, v []any) any { return r.trim(v[0].(string), v[1], trim) }}
}

// trim strips white space or, where chars is a string, its characters.
func (r *run) trim(s string, chars any, trim func(string, func(rune) bool) string) string {
	r.read(len(s))
	if !given(chars) {
		return trim(s, isSpace)
	}
	set := r.wantText("strip", chars)
	r.step(int64(len(s)) * int64(len(set)) / 64)
	return trim(s, func(c rune) bool { return strings.ContainsRune(set, c) })
}

// affix tests for a prefix or suffix, or one of several.
func affix(has func(s, part string) bool) *function {
	return &function{"the method", []string{"part"}, 1, func(r *run, v []any) any {
		parts := []any{v[1]}
		if l, ok := v[1].(*List); ok && l.Tuple {
			parts = l.Items
		}
		for _, part := range parts {
			text := r.wantText("the method", part)
			r.step(1)
			r.read(len(text))
			if has(v[0].(string), text) {
				return true
			}
		}
		return false
	}}
}

func cutting(cut func(s, part string) string) *function {
	return &function{"the method", []string{"part"}, 1, func(r *run, v []any) any {
		part := r.wantText("the method", v[1])
		r.read(len(part))
		return r.text(cut(v[0].(string), part))
	}}
}

// finding returns where a part of a string begins, in characters.
func finding(index func(s, part string) int, must bool) *function {
	return &function{"the method", []string{"part"}, 1, func(r *run, v []any) any {
		s := v[0].(string)
		r.read(len(s))
		at := index(s, r.wantText("the method", v[1]))
		if at < 0 && must {
			r.fail("the part is not in the string")
		}
		if at < 0 {
			return int64(-1)
		}
		return int64(utf8.RuneCountInString(s[:at]))
	}}
}

// parting splits a string in what is before a separator, it, and what is behind.
func parting(index func(s, part string) int, atEnd bool) *function {
	return &function{"partition", []string{"sep"}, 1, func(r *run, v []any) any {
		s, sep := v[0].(string), r.wantText("partition", v[1])
		if sep == "" {
			r.fail("partition: the separator is empty")
		}
		r.made(len(s))
		out := []any{s, "", ""}
		if at := index(s, sep); at >= 0 {
			out = []any{s[:at], sep, s[at+len(sep):]}
		} else if atEnd {
			out = []any{"", "", s}
		}
		return &List{Items: out, Tuple: true}
	}}
}

// split is Python's split and rsplit.
func (r *run) split(v []any, fromEnd bool) any {
	s := v[0].(string)
	most := intOr(r, "split", v[2], -1)
	r.read(len(s))
	var parts []string
	switch {
	case !given(v[1]):
		r.ends(s, isSpace)
		parts = fields(s, most, fromEnd)
	case v[1] == "":
		r.fail("split: the separator is empty")
	case most < 0:
		sep := r.wantText("split", v[1])
		r.made(strings.Count(s, sep) * wordBytes)
		parts = strings.Split(s, sep)
	case fromEnd:
		sep := r.wantText("split", v[1])
		for ; most > 0; most-- {
			at := strings.LastIndex(s, sep)
			if at < 0 {
				break
			}
			parts = append(parts, s[at+len(sep):])
			s = s[:at]
		}
		parts = append(parts, s)
		slices.Reverse(parts)
	default:
		parts = strings.SplitN(s, r.wantText("split", v[1]), int(min(most, int64(len(s))))+1)
	}
	return r.texts(parts)
}

// fields splits at white space, at most so many times; below 0 as often as there is.
func fields(s string, most int64, fromEnd bool) []string {
	var parts []string
	for most != 0 {
		if fromEnd {
			s = strings.TrimRightFunc(s, isSpace)
		} else {
			s = strings.TrimLeftFunc(s, isSpace)
		}
		if s == "" {
			break
		}
		part := ""
		if fromEnd {
			at := strings.LastIndexFunc(s, isSpace)
			_, size := utf8.DecodeRuneInString(s[max(at, 0):])
			if at < 0 {
				at, size = 0, 0
			}
			part, s = s[at+size:], s[:at]
		} else {
			at := strings.IndexFunc(s, isSpace)
			if at < 0 {
				at = len(s)
			}
			part, s = s[:at], s[at:]
		}
		parts = append(parts, part)
		most--
	}
	rest := strings.TrimLeftFunc(s, isSpace)
	if fromEnd {
		rest = strings.TrimRightFunc(s, isSpace)
	}
	if rest != "" {
		parts = append(parts, rest)
	}
	if fromEnd {
		slices.Reverse(parts)
	}
	return parts
}

// ends counts, before it is made, a list of the parts between characters of a kind.
func (r *run) ends(s string, is func(rune) bool) {
	r.read(4 * len(s)) // characters are looked at twice
	n := 1
	for _, c := range s {
		if is(c) {
			n++
		}
	}
	r.made(n * 2 * wordBytes)
}

func isLineEnd(c rune) bool {
	return c >= '\n' && c <= '\r' || c >= 0x1c && c <= 0x1e || c == 0x85 || c == 0x2028 || c == 0x2029
}

// splitLines splits at Python's line ends.
func splitLines(s string, keep bool) []string {
	var out []string
	for s != "" {
		at := strings.IndexFunc(s, isLineEnd)
		if at < 0 {
			return append(out, s)
		}
		_, size := utf8.DecodeRuneInString(s[at:])
		if strings.HasPrefix(s[at:], "\r\n") {
			size = 2
		}
		line := s[:at]
		if keep {
			line = s[:at+size]
		}
		out = append(out, line)
		s = s[at+size:]
	}
	return out
}

// texts counts and returns a list of strings that share memory with another.
func (r *run) texts(parts []string) *List {
	r.made(len(parts) * 2 * wordBytes)
	l := &List{Items: make([]any, len(parts))}
	for i, part := range parts {
		l.Items[i] = part
	}
	return l
}

// replace is Python's str.replace; count below 0 means all.
func (r *run) replace(s, old, with string, count int64) string {
	r.read(len(s))
	n := int64(strings.Count(s, old))
	if count >= 0 {
		n = min(n, count)
	}
	if n > 0 && int64(len(with)) > r.limits.Bytes/n {
		r.beyond()
	}
	r.made(len(s) + int(n)*len(with))
	return strings.Replace(s, old, with, int(n))
}

// join prints the parts with sep between.
func (r *run) join(parts []any, sep string) string {
	var out pieces
	for i, part := range parts {
		text := r.str(part)
		if i > 0 {
			r.made(len(sep))
			out.add(sep)
		}
		r.made(len(text))
		out.add(text)
	}
	return out.String()
}

// loopMember returns an attribute of the loop variable.
func (r *run) loopMember(l *loop, name string) (any, bool) {
	n, i := int64(len(l.items)), int64(l.at)
	switch name {
	case "index":
		return i + 1, true
	case "index0":
		return i, true
	case "revindex":
		return n - i, true
	case "revindex0":
		return n - i - 1, true
	case "first":
		return i == 0, true
	case "last":
		return i == n-1, true
	case "length":
		return n, true
	case "depth":
		return int64(1), true
	case "depth0":
		return int64(0), true
	case "previtem":
		if i == 0 {
			return undefined{"there is no previous item"}, true
		}
		return l.items[i-1], true
	case "nextitem":
		if i == n-1 {
			return undefined{"there is no next item"}, true
		}
		return l.items[i+1], true
	case "cycle":
		return &function{"cycle", []string{"*"}, 0, func(r *run, v []any) any {
			values := v[0].(*List).Items
			if len(values) == 0 {
				r.fail("no items for cycling given")
			}
			return values[l.at%len(values)]
		}}, true
	case "changed":
		return &function{"changed", []string{"*"}, 0, func(r *run, v []any) any {
			values := v[0].(*List).Items
			same := l.seen != nil && r.equal(&List{Items: l.seen}, &List{Items: values})
			l.seen = append([]any{}, values...)
			return !same
		}}, true
	}
	return nil, false
}
