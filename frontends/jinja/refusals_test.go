package jinja

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What no fault of a template is stays a panic: it is one of this package.
func TestOtherPanics(t *testing.T) {
	during := func(what any) (err error) {
		defer recoverError(&err)
		panic(what)
	}
	require.PanicsWithValue(t, "mistake", func() { _ = during("mistake") })
	fault := &Error{}
	require.Same(t, fault, during(fault))
}

// What a filter yields is taken once, to the last of it (jinja2 makes generators).
func TestFirstTakes(t *testing.T) {
	out, err := render("{% set a = ['x', 'y'] | map('upper') %}{{ a | first }}{{ a | first }}{{ a | first }}.{% set l = ['x', 'y'] %}{{ l | first }}{{ l | first }}", nil)
	require.NoError(t, err)
	require.Equal(t, "XY.xx", out)
}

// Keys that Python holds equal are one, up to where floats are no integers of 64 bits.
func TestKeysOfDictionaries(t *testing.T) {
	for _, c := range [][2]any{{true, int64(1)}, {false, int64(0)}, {1.0, int64(1)}, {-3.0, int64(-3)}, {0.5, 0.5}, {"1", "1"}, {float64(-1 << 63), int64(math.MinInt64)}, {float64(1 << 62), int64(1 << 62)}, {float64(1 << 63), float64(1 << 63)}} {
		require.Equal(t, c[1], dictKey(c[0]), "%T %v", c[0], c[0])
	}
}

// What is refused is refused in these words, on its line.
func TestRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"{{ 1 | round(1, precision=2) }}":                   `line 1: round is given "precision" twice`,
		"{% macro m(a) %}{% endmacro %}\n{{ m(a=1, a=2) }}": `line 2: macro "m" is given "a" twice`,
		"{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}":     `line 1: macro "m" is given "a" twice`,
		"{% set a = 1 %}{% set a.b = 2 %}":                  "line 1: a.b cannot be assigned to: a is no namespace",
		"{{ 0.0 ** -0.5 }}":                                 "line 1: division by zero",
		"{{ 0.0 ** -1.0 }}":                                 "line 1: division by zero",
		"{{ 1.5 | round(301) }}":                            "line 1: round to 301 digits is not supported",
		"{{ 1.5 | round(-1) }}":                             "line 1: round to -1 digits is not supported",
		"{{ (2.0 ** 63) | int }}":                           "line 1: int: the number has more than 64 bits",
		"{{ 1 | tojson(separators=['a', 'b', 'c']) }}":      "line 1: tojson: separators are two strings",
		"{{ [1] | batch(0) }}":                              "line 1: batch: the size of a batch is 0",
		"{{ [1] | slice(0) }}":                              "line 1: slice: the number of slices is 0",
		"{{ [1] | map('upper') | last }}":                   "line 1: last of what a filter yields is not supported: make it a list first",
		"{{ [1] | map(attribute='a', other=1) }}":           `line 1: map takes no argument "other"`,
		"{{ [1] | map }}":                                   "line 1: map wants a filter's name or an attribute",
		"{{ strftime_now('%Q') }}":                          "line 1: strftime_now: the directive %Q is not supported",
		"{{ strftime_now('%-Q') }}":                         "line 1: strftime_now: the directive %-Q is not supported",
		`{{ '\N{DASH}' }}`:                                  `line 1: the escape \N{...} is not supported`,
		"{{ 'a'.partition('') }}":                           "line 1: partition: the separator is empty",
		"{{ 'a'.split('') }}":                               "line 1: split: the separator is empty",
		"{% for a in [1] %}{{ loop.cycle() }}{% endfor %}":  "line 1: no items for cycling given",
		"{{ {}[([],)] }}":                                   "line 1: a tuple as the key of a dictionary is not supported",
		"a\n}{% endfor %}":                                  `line 2: there is no tag "endfor"`,
		"{% for a of [1] %}{% endfor %}":                    `line 1: want "in", have "of"`,
		"{% call 1 %}{% endcall %}":                         "line 1: want a call in the call tag",
		"\n{{ }}":                                           "line 2: want an expression, have the end of the expression",
		"{{ a.99999999999999999999 }}":                      `line 1: "99999999999999999999" is no index`,
		"{{ 99999999999999999999 }}":                        "line 1: the number 99999999999999999999 has more than 64 bits",
		"{{ f(*a) }}":                                       "line 1: arguments by * are not supported",
		"{{ f(**a) }}":                                      "line 1: arguments by ** are not supported",
		"{{ f(a=1, 2) }}":                                   "line 1: an argument without a name follows one with a name",
		"{{ 1 is divisibleby is defined }}":                 "line 1: tests cannot be chained with is",
		"{{ a.+ }}":                                         `line 1: want a name behind the dot, have "+"`,
		"{{ 1e }}":                                          `line 1: want the end of the expression, have "e"`,
		"{{ 'a' < 1 }}":                                     `line 1: "<" is not supported between str and int`,
		"{{ (1, 2) < [1, 2] }}":                             `line 1: "<" is not supported between tuple and list`,
		"\n\n{{ (1,":                                        "line 3: the {{ is not closed",
		"\n{% if":                                           "line 2: the {% is not closed",
		"{{ (1] }}":                                         `line 1: unexpected "]", want ")"`,
		"{{ 1) }}":                                          `line 1: unexpected ")"`,
		"\n{# ":                                             "line 2: the comment is not closed: there is no #}",
		"{#}":                                               "line 1: the comment is not closed: there is no #}",
		"{% raw %}":                                         "line 1: the raw block is not closed: there is no endraw",
		"{{ $ }}":                                           `line 1: unexpected character '$'`,
		"{{ 'a' | unheard }}":                               `line 1: there is no filter "unheard"`,
		"{{ 'a' is unheard }}":                              `line 1: there is no test "unheard"`,
		"{{ 'a'.upper(1, 2) }}":                             "line 1: upper takes at most 0 arguments, not 2",
		"{{ 'a' | upper(1, 2) }}":                           "line 1: upper takes at most 1 arguments, not 3",
		"{{ 'a' | upper(b=2) }}":                            `line 1: upper takes no argument "b"`,
		"{{ 1 < [7][\n0] < ['a'][\n0] }}":                   `line 1: "<" is not supported between int and str`,
		`{{ '\ud800' }}`:                                    `line 1: the escape \ud800 is no character`,
		`{{ 'a\U00110000b' }}`:                              `line 1: the escape \U00110000 is no character`,
		`{{ '\xg1' }}`:                                      `line 1: the escape \xg1 is no character`,
		`{{ '\x4' }}`:                                       `line 1: the escape \x is cut off`,
		`{{ 'a\u00e' }}`:                                    `line 1: the escape \u is cut off`,
		"{{ range() }}":                                     `line 1: range needs the argument "start"`,
		"{{ raise_exception() }}":                           `line 1: raise_exception needs the argument "message"`,
		"{{ strftime_now() }}":                              `line 1: strftime_now needs the argument "format"`,
		"{{ [1].count() }}":                                 `line 1: count needs the argument "value"`,
		"{{ ('a' * 9) ~ ('a' * 9223372036854775807) }}":     "line 1: the template was stopped: it makes more than 67108864 bytes of text and lists",
		"{{ ([1] * 9) ~ ([1] * 9223372036854775807) }}":     "line 1: the template was stopped: it makes more than 67108864 bytes of text and lists",
		"{{ 'ab' | center(9223372036854775807) }}":          "line 1: the template was stopped: it makes more than 67108864 bytes of text and lists",
		"{{ 'ab' | indent(9223372036854775807) }}":          "line 1: the template was stopped: it makes more than 67108864 bytes of text and lists",
		"{{ ('a' * 99999) | replace('a', 'b' * 99999) }}":   "line 1: the template was stopped: it makes more than 67108864 bytes of text and lists",
		"{{ 1 + ['a'][\n0] }}":                              `line 1: "+" is not supported between int and str`,
		"{{ 1 in [7][\n0] }}":                               "line 1: a value of type int cannot be iterated over",
		"{{ [1][\n0] | nothing | upper }}":                  `line 2: there is no filter "nothing"`,
	} {
		_, err := render(text, nil)
		require.EqualError(t, err, want, text)
	}
}

// As many as the limit are taken, one more is refused.
func TestLimitsOfTheGrammar(t *testing.T) {
	for what, c := range map[string]struct {
		text func(n int) string
		most int
		want string
	}{
		"bytes":      {func(n int) string { return strings.Repeat("x", n) }, 1 << 18, "line 1: the template has 262145 bytes, more than 262144"},
		"operators":  {func(n int) string { return "{{ 0" + strings.Repeat(" * 0", n) + " }}" }, 1000, "line 1: an expression has more than 1000 operators in a row"},
		"filters":    {func(n int) string { return "{{ 0" + strings.Repeat("|abs", n) + " }}" }, 99, "line 1: more than 100 filters follow each other"},
		"attributes": {func(n int) string { return "{% if false %}{{ a" + strings.Repeat(".b", n) + " }}{% endif %}" }, 99, "line 1: more than 100 attributes and calls follow each other"},
		"brackets":   {func(n int) string { return "{{ " + strings.Repeat("[", n) + strings.Repeat("]", n) + " }}" }, 49, "line 1: the template nests more than 100 levels deep"},
	} {
		_, err := render(c.text(c.most), nil)
		require.NoError(t, err, what)
		_, err = render(c.text(c.most+1), nil)
		require.EqualError(t, err, c.want, what)
	}
}

// What few templates write: comments as short as they get, items by number in a path, the
// ends of splits, keys that are one.
func TestSmallestForms(t *testing.T) {
	for text, want := range map[string]string{
		"a{#}#}b{##}c{#-#}d{# -#} e":                                        "abcde",
		"{{ [{'a': ['x', 'y']}] | map(attribute='a.1') | join }}":           "y",
		"{{ [{'a': {'-1': 'x'}}] | map(attribute='a.-1') | join }}":         "x",
		"{{ ['ab'] | map('replace', 'a', new='c') | join }}":                "cb",
		"{% macro m(a) %}{% endmacro %}{{ m.name }}|{{ m.other }}":          "m|",
		"{{ 'a b  c'.rsplit(none, 1) }}{{ ' ab'.rsplit() }}":                "['a b', 'c']['ab']",
		"{{ 'a b  c'.split(none, 1) }}{{ 'ab '.split() }}":                  "['a', 'b  c']['ab']",
		"{{ 'äb,cd,e'.rsplit(',', 1) }}{{ 'a'.rsplit(',', 3) }}":            "['äb,cd', 'e']['a']",
		"{{ {1: 'a', true: 'b', 1.0: 'c', 0: 'd', false: 'e', 1.5: 'f'} }}": "{1: 'c', 0: 'e', 1.5: 'f'}",
		"{{ ['\\U000E0001\\x01\\u200b'] }}":                                 `['\U000e0001\x01\u200b']`,
		"{{ 7 // -1 }}{{ 7 % -1 }}{{ -7 // 2 }}{{ -7 % 2 }}":                "-70-41",
		"{% for a, in [[1]] %}{{ a }}{% endfor %}":                          "1",
	} {
		have, err := render(text, nil)
		require.NoError(t, err, text)
		require.Equal(t, want, have, text)
	}
	_, err := render("{{ (-9223372036854775807 - 1) // -1 }}", nil)
	require.EqualError(t, err, `line 1: the result of "-" has more than 64 bits`)
}

// Values of JSON nest as deep as the limit, lists as objects.
func TestNestingOfJSON(t *testing.T) {
	for _, ends := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
		nested := func(n int) error {
			_, err := FromJSON([]byte(strings.Repeat(ends[0], n) + "1" + strings.Repeat(ends[1], n)))
			return err
		}
		require.NoError(t, nested(200))
		require.ErrorContains(t, nested(201), "nested more than 200 levels deep")
	}
}

// An error has the line of what was being done, whichever the last part of it was that was
// evaluated.
func TestLinesOfErrors(t *testing.T) {
	const f = "{% macro f() %}{% endmacro %}"
	for text, want := range map[string]int{
		f + "{{ 0 or\nf }}":                                          1,
		"{% for x in 0 or\n5 %}{% endfor %}":                         1,
		"{% for a, b in [[1, 2], [3]] %}\n{{ a }}{% endfor %}":       1,
		"{% set a.b = 0 or\n1 %}":                                    1,
		"{% set a.b %}\n{{ 1 }}{% endset %}":                         1,
		f + "{% filter upper\n| default(f, true) %}{% endfilter %}":  1,
		"{% with a, b =\n0 or\n1 %}{% endwith %}":                    1,
		f + "{% call f(\n1) %}{% endcall %}":                         1,
		"{% macro f() %}\n\n{{ 1 }}{% endmacro %}\n{{ {[f()]: 1} }}": 4,
		"{{ -(0 or\n'a') }}":                                         1,
		"{{ (0 or\nx)\n.y }}":                                        3,
		"{{ (0 or x)[\n0] }}":                                        1,
		"{{ [1][\n'a':] }}":                                          1,
		"{{ 5(\n1) }}":                                               1,
		"{{ 1\n| batch(\n2) }}":                                      2,
		"{{ 1 is\ndivisibleby(\n0) }}":                               1,
		"{{ [1,\n2] | map('upper',\n1) }}":                           2,
		"\n{% if 1 %}\n{{ x.y }}{% endif %}":                         3,
		"{% macro f(a=x.y) %}{% endmacro %}\n{{ f() }}":              1,
		"{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}\n{{ x.y }}{% endcall %}": 2,
	} {
		_, err := render(text, nil)
		require.IsType(t, &Error{}, err, text)
		require.Equal(t, want, err.(*Error).Line, "%s\n%v", text, err)
	}
}

// What is filtered or tested is an argument that cannot be left out.
func TestValuesAreNeeded(t *testing.T) {
	r := newRun(nil, goldenTime, DefaultLimits)
	for _, functions := range []map[string]*function{filters, tests} {
		for name, f := range functions {
			var err error
			func() {
				defer recoverError(&err)
				r.call(f, args{})
			}()
			require.ErrorContains(t, err, ` needs the argument "`+f.params[0]+`"`, name)
		}
	}
}
