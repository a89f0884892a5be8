package jinja

import (
	"slices"
	"strconv"
	"strings"
)

func batch(r *run, v []any) any {
	items, n := r.iterate(v[0]), int(min(r.wantInt("batch", v[1]), maxRange))
	if n < 1 {
		r.fail("batch: the size of a batch is %d", n)
	}
	r.made(len(items) * wordBytes)
	s := &stream{}
	for part := range slices.Chunk(items, n) {
		part = slices.Clone(part)
		if given(v[2]) {
			r.made((n - len(part)) * wordBytes)
			for len(part) < n {
				part = append(part, v[2])
			}
		}
		s.items = append(s.items, &List{Items: part})
	}
	return s
}

// sliceFilter deals the elements to so many lists.
func sliceFilter(r *run, v []any) any {
	items, n := r.iterate(v[0]), int(min(r.wantInt("slice", v[1]), maxRange))
	if n < 1 {
		r.fail("slice: the number of slices is %d", n)
	}
	r.made((len(items) + 2*n) * wordBytes)
	each, more := len(items)/n, len(items)%n
	s := &stream{}
	for i := range n {
		start := i*each + min(i, more)
		end := start + each
		if i < more {
			end++
		}
		part := slices.Clone(items[start:end])
		if given(v[2]) && i >= more { // also where all are as long: jinja2 does
			part = append(part, v[2])
		}
		s.items = append(s.items, &List{Items: part})
	}
	return s
}

// folded is what jinja2 compares by: strings without regard to case unless told.
func folded(r *run, caseSensitive bool, v any) any {
	if s, ok := v.(string); ok && !caseSensitive {
		return r.text(lower(s))
	}
	return v
}

// sorted returns items in the order of their keys, those of equal keys as they were.
func (r *run) sorted(items []any, reverse bool, key func(any) any) []any {
	type keyed struct{ key, item any }
	r.made(len(items) * 4 * wordBytes)
	all := make([]keyed, len(items))
	for i, item := range items {
		all[i] = keyed{key(item), item}
	}
	if reverse {
		slices.Reverse(all)
	}
	slices.SortStableFunc(all, func(a, b keyed) int { return r.compare("<", a.key, b.key) })
	if reverse {
		slices.Reverse(all)
	}
	out := make([]any, len(all))
	for i, k := range all {
		out[i] = k.item
	}
	return out
}

func dictSort(r *run, v []any) any {
	d, ok := v[0].(*Dict)
	if !ok {
		r.defined(v[0])
		r.fail("dictsort wants a dictionary, not a %s", typeName(v[0]))
	}
	by := map[string]int{"key": 0, "value": 1}
	at, known := by[textOr(r, v[2], "key")]
	if !known {
		r.fail("dictsort sorts by \"key\" or \"value\"")
	}
	sensitive := boolOr(v[1], false)
	return &List{Items: r.sorted(r.pairs(d).Items, boolOr(v[3], false), func(pair any) any {
		return folded(r, sensitive, pair.(*List).Items[at])
	})}
}

// path returns what reads an attribute such as "function.name" or 0 of an item; one
// that is not given reads the item itself.
func (r *run) path(attribute any) func(item any) any {
	if !given(attribute) {
		return func(item any) any { return item }
	}
	keys := []any{attribute}
	if s, ok := attribute.(string); ok {
		r.made(strings.Count(s, ".") * 2 * wordBytes)
		r.read(len(s))
		keys = nil
		for part := range strings.SplitSeq(s, ".") {
			if n, err := strconv.ParseInt(part, 10, 64); err == nil && n >= 0 {
				keys = append(keys, n)
			} else {
				keys = append(keys, part)
			}
		}
	}
	return func(item any) any {
		for _, key := range keys {
			r.step(1)
			item = r.item(item, key)
		}
		return item
	}
}

func sortFilter(r *run, v []any) any {
	sensitive := boolOr(v[2], false)
	if s, several := v[3].(string); several && strings.Contains(s, ",") {
		r.fail("sort by several attributes is not supported")
	}
	key := r.path(v[3])
	return &List{Items: r.sorted(r.iterate(v[0]), boolOr(v[1], false), func(item any) any {
		return folded(r, sensitive, key(item))
	})}
}

func (r *run) extreme(v []any, sign int) any {
	items := r.iterate(v[0])
	if len(items) == 0 {
		return undefined{"No aggregated item, sequence was empty."}
	}
	key, sensitive := r.path(v[2]), boolOr(v[1], false)
	best := items[0]
	bestKey := folded(r, sensitive, key(best))
	for _, item := range items[1:] {
		if k := folded(r, sensitive, key(item)); r.compare("<", k, bestKey)*sign > 0 {
			best, bestKey = item, k
		}
	}
	return best
}

func unique(r *run, v []any) any {
	key, sensitive := r.path(v[2]), boolOr(v[1], false)
	seen := map[any]bool{}
	s := &stream{}
	for _, item := range r.iterate(v[0]) {
		r.made(entryBytes)
		k := folded(r, sensitive, key(item))
		r.hashable(k)
		if !seen[dictKey(k)] {
			seen[dictKey(k)] = true
			s.items = append(s.items, item)
		}
	}
	return s
}

func first(r *run, v []any) any {
	if s, ok := v[0].(string); ok {
		if char, ok := r.character(s, 0); ok {
			return char
		}
	} else if s, ok := v[0].(*stream); ok && len(s.items) > 0 {
		item := s.items[0]
		s.items = s.items[1:]
		return item
	} else if items := r.iterate(v[0]); len(items) > 0 {
		return items[0]
	}
	return undefined{"No first item, sequence was empty."}
}

func last(r *run, v []any) any {
	switch s := v[0].(type) {
	case *stream:
		r.fail("last of what a filter yields is not supported: make it a list first")
	case string:
		if char, ok := r.character(s, -1); ok {
			return char
		}
	default:
		if items := r.iterate(s); len(items) > 0 {
			return items[len(items)-1]
		}
	}
	return undefined{"No last item, sequence was empty."}
}

func reverse(r *run, v []any) any {
	if s, ok := v[0].(string); ok {
		r.made(5 * len(s))
		chars := []rune(s)
		slices.Reverse(chars)
		return string(chars)
	}
	items := slices.Clone(r.iterate(v[0]))
	r.made(len(items) * wordBytes)
	slices.Reverse(items)
	return &stream{items}
}

func items(r *run, v []any) any {
	switch d := v[0].(type) {
	case undefined:
		return &stream{}
	case *Dict:
		return &stream{r.pairs(d).Items}
	}
	r.fail("items wants a dictionary, not a %s", typeName(v[0]))
	return nil
}

func joinFilter(r *run, v []any) any {
	parts := r.iterate(v[0])
	if given(v[2]) {
		key := r.path(v[2])
		r.made(len(parts) * wordBytes)
		named := make([]any, len(parts))
		for i, part := range parts {
			named[i] = key(part)
		}
		parts = named
	}
	return r.join(parts, textOr(r, v[1], ""))
}

// mapFilter applies a filter to each element, or reads an attribute of each.
func mapFilter(r *run, v []any) any {
	more, named := v[1].(*List).Items, v[2].(*Dict)
	var f func(item any) any
	if attribute, ok := named.Get("attribute"); ok && len(more) == 0 {
		otherwise, given := named.Get("default")
		for _, key := range named.keys {
			if key != "attribute" && key != "default" {
				r.fail("map takes no argument %q", key)
			}
		}
		read := r.path(attribute)
		f = func(item any) any {
			value := read(item)
			if _, missing := value.(undefined); missing && given && otherwise != nil {
				return otherwise
			}
			return value
		}
	} else {
		if len(more) == 0 {
			r.fail("map wants a filter's name or an attribute")
		}
		filter := r.filter(r.wantText("map", more[0]))
		a := args{positional: append([]any{nil}, more[1:]...)}
		for _, key := range named.keys {
			a.names = append(a.names, key.(string))
			a.named = append(a.named, named.values[key])
		}
		f = func(item any) any {
			a.positional[0] = item
			return r.call(filter, a)
		}
	}
	source := r.iterate(v[0])
	r.made(len(source) * wordBytes)
	s := &stream{make([]any, len(source))}
	for i, item := range source {
		r.step(1)
		s.items[i] = f(item)
	}
	return s
}

// choose is select, reject, selectattr and rejectattr.
func (r *run) choose(v []any, byAttribute, keep bool) any {
	more := v[1].(*List).Items
	read := r.path(nil)
	if byAttribute {
		if len(more) == 0 {
			r.fail("the filter wants the name of an attribute")
		}
		read, more = r.path(more[0]), more[1:]
	}
	holds := func(value any) bool { return truth(value) }
	if len(more) > 0 {
		name := r.wantText("the filter", more[0])
		test, ok := r.tests[name]
		if !ok {
			r.fail("there is no test %q", name)
		}
		holds = func(value any) bool { return truth(r.call(test, args{positional: append([]any{value}, more[1:]...)})) }
	}
	s := &stream{}
	for _, item := range r.iterate(v[0]) {
		r.made(wordBytes)
		if holds(read(item)) == keep {
			s.items = append(s.items, item)
		}
	}
	return s
}

func (r *run) filter(name string) *function {
	f, ok := r.filters[name]
	if !ok {
		r.fail("there is no filter %q, or it is not supported in a chat template", name)
	}
	return f
}

func sum(r *run, v []any) any {
	key := r.path(v[1])
	var total any = int64(0)
	if v[2] != (absent{}) {
		total = v[2]
	}
	for _, item := range r.iterate(v[0]) {
		r.step(1)
		if _, text := item.(string); text {
			r.fail("sum adds numbers, not strings")
		}
		total = r.arithmetic("+", total, key(item))
	}
	return total
}
