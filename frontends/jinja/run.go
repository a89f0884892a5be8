package jinja

import (
	"fmt"
	"strings"
	"time"
)

// run is the state of one Render. Faults panic with *Error.
type run struct {
	limits   Limits
	deadline time.Time
	now      time.Time // the time that strftime_now tells
	filters  map[string]*function
	tests    map[string]*function

	steps, bytes int64
	depth        int

	global map[string]any
	scope  *scope
	out    *pieces
	line   int // the line of the statement or expression at hand
}

// What an element of a list and an entry of a dictionary take.
const (
	wordBytes  = 16
	entryBytes = 16 * wordBytes
)

func (r *run) fail(format string, args ...any) {
	panic(&Error{r.line, shortened(fmt.Sprintf(format, args...))})
}

// shortened is a text for a message, which may quote all that a template has.
func shortened(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// step counts operations.
func (r *run) step(n int64) {
	before := r.steps
	r.steps += n
	if r.steps > r.limits.Steps {
		r.fail("the template was stopped: it takes more than %d steps", r.limits.Steps)
	}
	if r.steps>>8 != before>>8 && time.Now().After(r.deadline) {
		r.fail("the template was stopped: it takes longer than %v", r.limits.Time)
	}
}

// read counts the bytes that an operation looks at.
func (r *run) read(bytes int) { r.step(int64(bytes) / 64) }

// made counts the bytes of a new value. It is called before they are allocated where
// the template chooses their number.
func (r *run) made(bytes int) {
	r.bytes += int64(bytes)
	if bytes < 0 || r.bytes > r.limits.Bytes {
		r.fail("the template was stopped: it makes more than %d bytes of text and lists", r.limits.Bytes)
	}
	r.read(bytes)
}

// beyond stops a template that chose more bytes than there are, before their number overflows.
func (r *run) beyond() { r.made(int(r.limits.Bytes) + 1) }

func (r *run) enter() {
	if r.depth++; r.depth > r.limits.Depth {
		r.fail("the template was stopped: it nests more than %d levels deep", r.limits.Depth)
	}
}

func (r *run) leave() { r.depth-- }

// text counts a new string.
func (r *run) text(s string) string {
	r.made(len(s))
	return s
}

// list counts a new list.
func (r *run) list(items []any) *List {
	r.made(len(items) * wordBytes)
	return &List{Items: items}
}

// defined refuses a value that is not there.
func (r *run) defined(v any) {
	if u, ok := v.(undefined); ok {
		r.fail("%s", u.message)
	}
}

// scope holds names, a few in most; those of outer scopes are seen through it.
type scope struct {
	names  []string
	values []any
	outer  *scope
}

func (r *run) lookup(name string) (any, bool) {
	for s := r.scope; s != nil; s = s.outer {
		for i, n := range s.names {
			if n == name {
				return s.values[i], true
			}
		}
	}
	v, ok := r.global[name]
	return v, ok
}

func (r *run) set(name string, v any) {
	s := r.scope
	for i, n := range s.names {
		if n == name {
			s.values[i] = v
			return
		}
	}
	r.made(3 * wordBytes)
	r.step(int64(len(s.names)) / 8)
	s.names, s.values = append(s.names, name), append(s.values, v)
}

// inside runs f in a new scope within outer.
func (r *run) inside(outer *scope, f func()) {
	saved := r.scope
	r.scope = &scope{outer: outer}
	f()
	r.scope = saved
}

// capture returns what f prints.
func (r *run) capture(f func()) string {
	saved := r.out
	r.out = &pieces{}
	f()
	text := r.out.String()
	r.out = saved
	return text
}
