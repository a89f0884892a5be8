// Package jinja renders chat templates: programs in the language of Jinja2 that come
// with a model and turn a conversation into the text the model was trained on.
//
// A template is a stranger's program, and its result is only right when it is what
// Python's jinja2 gives, byte for byte, in the environment that Hugging Face
// transformers sets up: a sandbox with immutable lists and dictionaries, trim_blocks
// and lstrip_blocks, loop controls, the generation block, and tojson, raise_exception
// and strftime_now of its own. Two rules follow:
//
//   - What this package does not do as jinja2 does is an error with its line (include,
//     inheritance, HTML escaping, recursive loops, printf formatting), never another
//     text.
//   - Every step, every byte made and every level of nesting is counted inside
//     evaluation (Limits), so a template can neither run on nor fill the memory.
//
// The Go engines for Jinja do neither. The one made for chat templates,
// github.com/ardanlabs/jinja v1.8.0, has no limits (a loop of 10^9 runs on, 'A' * 10^11
// ends the process), and of the first 623 templates of testdata it renders 142 otherwise than
// jinja2 and accepts 57 that jinja2 refuses, without an error: it prints None as
// nothing, joins a string and a number, lets a variable live on into a loop's next
// round. Limits alone would not have made it the measure.
//
// Parse compiles a template, Render runs it. lex.go, parse.go and parse_expr.go read
// the text, exec.go and eval.go run it; value.go and text.go say what Python's values
// are and how they print; filters.go, filters_list.go, tests.go, methods.go and globals.go hold what a
// template can call.
//
// Read next: foundry/frontends/chat, which finds a model's template and gives it the
// conversation.
package jinja

import (
	"fmt"
	"maps"
	"time"
)

// Template is a compiled template. It is immutable and safe for concurrent use.
type Template struct{ body []stmt }

// Limits bound what one Render may take. A template that needs more is an error.
type Limits struct {
	Steps int64         // operations, and 64 bytes read or written count as one
	Bytes int64         // bytes of all strings and lists made, freed or not
	Depth int           // levels of nested evaluation: macros, expressions, nested values
	Time  time.Duration // time by the clock, for a machine on which the steps take long
}

// DefaultLimits are far above what a published template takes for a conversation that
// fills a context of a million tokens, and are reached within a second.
var DefaultLimits = Limits{Steps: 2_000_000, Bytes: 64 << 20, Depth: 1500, Time: time.Second}

// Error is a fault of a template, or one that it raised.
type Error struct {
	Line    int // the line in the template, from 1
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

// maxSource bounds a template's length in bytes; published ones have up to 30,000.
const maxSource = 1 << 18

// Parse compiles a template. The error is an *Error.
func Parse(source string) (t *Template, err error) {
	if len(source) > maxSource {
		return nil, &Error{1, fmt.Sprintf("the template has %d bytes, more than %d", len(source), maxSource)}
	}
	defer recoverError(&err)
	p := &parser{tokens: lex(source)}
	body := p.body()
	return &Template{body}, nil
}

// Render runs the template with the values as its global names. Values are nil, bool,
// int64, float64, string, *List and *Dict. now is what strftime_now tells. The error is
// an *Error.
func (t *Template) Render(values map[string]any, now time.Time, l Limits) (text string, err error) {
	defer recoverError(&err)
	r := newRun(values, now, l)
	r.execAll(t.body)
	return r.out.String(), nil
}

func newRun(values map[string]any, now time.Time, l Limits) *run {
	global := maps.Clone(globals)
	maps.Copy(global, values)
	return &run{
		limits: l, deadline: time.Now().Add(l.Time), now: now, filters: filters, tests: tests,
		out: &pieces{}, global: global, scope: &scope{}, line: 1,
	}
}

// recoverError turns the panic of a fault inside this package into an error.
func recoverError(err *error) {
	switch fault := recover().(type) {
	case nil:
	case *Error:
		*err = fault
	default:
		panic(fault)
	}
}
