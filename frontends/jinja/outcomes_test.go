package jinja

import (
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"foundry/tests/mutate"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

// What becomes of the goldens' templates where a few words of each are others is kept, text
// or error. What jinja2 makes of them nobody has asked: who changes this reads the difference.
func TestNearlyTemplates(t *testing.T) {
	values, g := readGoldens(t)
	words := []string{"loop", "not", "is", "in", "if", "else", "defined", "none", "and", "or", "length", "first", "tojson", "list", "join", "n", "s", "d", "people", "{%-", "-%}", "[::-1]", "|"}
	have := mutate.Outcomes(2*len(g.Cases), func(i int, c *mutate.Choices) string {
		return rendered(mutate.Text(g.Cases[i/2].Template, words, c), values)
	})
	require.NoError(t, mutate.Keep("testdata/nearly.txt", have, *update))
}

// rendered is the text of a template, or the error, and what work it was.
func rendered(template string, values map[string]any) (said string) {
	tmpl, err := Parse(template)
	if err != nil {
		return err.Error()
	}
	r := newRun(values, goldenTime, Limits{Steps: 1 << 20, Bytes: 1 << 20, Depth: 200, Time: time.Minute})
	func() {
		defer recoverError(&err)
		r.execAll(tmpl.body)
	}()
	if err != nil {
		return fmt.Sprintf("%v (%d steps, %d bytes)", err, r.steps, r.bytes)
	}
	return fmt.Sprintf("text: %s (%d steps, %d bytes)", r.out, r.steps, r.bytes)
}

// operands are values of each kind, as a template writes them.
var operands = []string{"none", "true", "false", "0", "7", "(-3)", "9223372036854775807", "2.5", "''", "'ab cd'", "'Ä b.1'", "'12'", "[]", "[3, 1, 2]", "['b', 'A', 'b']",
	"[[1, 'x'], [2, 'y']]", "{}", "{'b': 1, 'a': 2.5}", "[{'n': 1, 'm': 'q'}, {'n': 3}]", "range(4)", "missing", "(1, 2)",
	"('Äb 1,' * 40)"} // long enough for its bytes to be steps

// What each operator, test, filter and method makes of values of each kind, and what work
// that is, is kept: text or error.
func TestEveryCallOnEveryKind(t *testing.T) {
	values := map[string]any{}
	var b strings.Builder
	write := func(name string, templates []string) {
		said := mutate.Outcomes(len(templates), func(i int, _ *mutate.Choices) string { return rendered(templates[i], values) })
		fmt.Fprintf(&b, "%s: %08x\n", name, crc32.ChecksumIEEE([]byte(said)))
		for i, line := range strings.Split(strings.TrimSpace(said), "\n") {
			if i%37 == len(name) { // some of them in words
				_, line, _ = strings.Cut(line, ": ")
				fmt.Fprintf(&b, "  %s => %s\n", templates[i], line)
			}
		}
	}
	for _, op := range []string{"+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or", "is divisibleby", "is sameas", "is in", "is eq", "is lt"} {
		var all []string
		for _, x := range operands {
			for _, y := range operands {
				all = append(all, fmt.Sprintf("{{ %s %s %s }}", x, op, y))
			}
		}
		write(op, all)
	}
	arguments := []string{"", "()", "(2)", "('b')", "('', 'x')", "('n')", "(1, 3)", "(true)", "('b', 'c', 1)", "([1])", "('%s', 3, 4)", "('b 1,' * 40)"}
	calls := func(format string, names []string) {
		for _, name := range names {
			var all []string
			for _, x := range operands {
				for _, a := range arguments {
					all = append(all, fmt.Sprintf(format, x, name+a))
				}
			}
			write(fmt.Sprintf(format, "x", name), all)
		}
	}
	calls("{%% set y = %s | %s %%}{{ y if y is string or y is not iterable else y | list }}", slices.Sorted(maps.Keys(filters)))
	calls("{{ %s is %s }}", slices.Sorted(maps.Keys(tests)))
	methods := slices.Concat(slices.Collect(maps.Keys(textMethods)), slices.Collect(maps.Keys(listMethods)), slices.Collect(maps.Keys(dictMethods)), refusedDictMethods, refusedListMethods, refusedTextMethods)
	slices.Sort(methods)
	calls("{{ (%s).%s }}", slices.Compact(methods))
	calls("{{ (%[1]s) | list | %[2]s }}", []string{"join", "sum", "sort", "unique", "map", "select", "reject", "selectattr", "rejectattr", "groupby"})
	calls("{%% for a in %s %%}{{ loop.index }}{{ loop.%s }}{{ a }}{%% else %%}none{%% endfor %%}", []string{"cycle", "previtem", "nextitem", "changed", "revindex", "first", "last", "length", "depth"})
	calls("{{ %[2]s(%[1]s) }}", []string{"range", "dict", "namespace", "strftime_now", "raise_exception"})
	var slicing []string
	for _, x := range operands {
		for _, s := range []string{"[0]", "[-1]", "[9]", "['a']", "[1:]", "[:-1]", "[::2]", "[::-1]", "[1:3]", "[none:2]", "[::0]", "['a':]", "[2.5]", "[true]", ".a", ".n"} {
			slicing = append(slicing, "{{ ("+x+")"+s+" }}")
		}
	}
	write("slices", slicing)
	require.NoError(t, mutate.Keep("testdata/calls.txt", b.String(), *update))
}
