package jinja

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whatever a template calls counts what it looks at: a loop over calls on a long text or
// list is stopped by the steps and bytes that it takes, not by the time. The limits are a
// 64th of the default; a call that does not count would run for seconds.
func TestEveryCallCountsItsWork(t *testing.T) {
	var calls []string
	for name := range filters {
		calls = append(calls, "x | "+name, "x | "+name+"(w)")
	}
	for name := range tests {
		if !strings.ContainsAny(name, "<>=!") && name != "in" {
			calls = append(calls, "x is "+name, "x is "+name+"(w)")
		}
	}
	for _, methods := range []map[string]*function{textMethods, listMethods, dictMethods} {
		for name := range methods {
			calls = append(calls, "x."+name+"()", "x."+name+"(w)", "x."+name+"(w, w)")
		}
	}
	calls = append(calls, "x[w]", "x[-1]", "x[::2]", "x[1:]", "x == w", "x < w", "w in x", "x in [w]", "{x: 1}", "{w: 1}[x]", "d[x]", "d[x] is defined",
		"x ~ x", "x + w", "x * 2", "-x", "strftime_now(x)", "dict(x)", "x is in(w)", "namespace(x)", "[x] | join(x)", "[x, w] | sort", "[x, w] | unique",
		"[x, w] | max", "d.get(x)", "[x] | map('upper')", "x.y", "x | tojson(indent=w)")
	limits := Limits{Steps: DefaultLimits.Steps / 64, Bytes: DefaultLimits.Bytes / 64, Depth: DefaultLimits.Depth, Time: 2 * time.Second}
	for kind, subject := range map[string]string{
		"text":   `{% set x = 'aB ' * 100000 %}{% set w = 'aB ' * 100000 %}`,
		"runes":  `{% set x = 'äß ' * 50000 %}{% set w = 'äß ' * 50000 %}`,
		"caps":   `{% set x = 'AB ' * 100000 %}{% set w = 'AB ' * 100000 %}`,
		"digits": `{% set x = '1' * 300000 %}{% set w = '1' * 300000 %}`,
		"list":   `{% set x = range(5000) | list %}{% set w = range(5000) | list %}`,
		"dict":   `{% set x = dict(range(1000) | batch(2)) %}{% set w = 'aB ' * 100000 %}`,
	} {
		for _, call := range calls {
			_, err := Parse(`{{ ` + call + ` }}`)
			if err == nil {
				var tmpl *Template
				tmpl, err = Parse(subject + `{% set d = {'a': 1} %}{% for i in range(10000) %}{% set y = ` + call + ` %}{% endfor %}`)
				require.NoError(t, err)
				_, err = tmpl.Render(nil, goldenTime, limits)
			}
			if err != nil {
				require.NotContains(t, err.Error(), "longer than", "%s of %s", call, kind)
				require.Less(t, len(err.Error()), 300, "%s of %s", call, kind)
			}
		}
	}
}
