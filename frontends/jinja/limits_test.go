package jinja

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hostile are templates that would run on or fill the memory.
var hostile = map[string]string{
	"a long loop":          `{% for i in range(1000000000) %}{% endfor %}`,
	"nested loops":         strings.Repeat(`{% for i in range(1000) %}`, 9) + `x` + strings.Repeat(`{% endfor %}`, 9),
	"a repeated string":    `{{ 'A' * 100000000000 }}`,
	"a repeated list":      `{{ [1] * 100000000000 }}`,
	"beyond an integer":    `{{ 'AA' * 9223372036854775807 }}`,
	"doubling text":        `{% set ns = namespace(x='A') %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}`,
	"doubling by concat":   `{% set ns = namespace(x='A') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}`,
	"doubling lists":       `{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}`,
	"a tree of itself":     `{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}`,
	"a tree as JSON":       `{% set ns = namespace(x={}) %}{% for i in range(100) %}{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}{{ ns.x | tojson(indent=8) }}`,
	"equal trees":          `{% set ns = namespace(x=[], y=[]) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}`,
	"a deep value":         `{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}`,
	"recursion":            `{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}`,
	"doubled recursion":    `{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(100) }}`,
	"join":                 `{{ range(100000) | join('A' * 100000) }}`,
	"replace":              `{{ ('A' * 100000) | replace('A', 'B' * 100000) }}`,
	"replace of nothing":   `{{ ('A' * 1000000).replace('', 'B' * 1000000) }}`,
	"indentation":          `{{ 'a' | indent(9999999999999, true) }}`,
	"many indented lines":  `{{ ('\n' * 10000) | indent(100000, true, true) }}`,
	"indented JSON":        `{{ range(100000) | list | tojson(indent='A' * 100000) }}`,
	"separated JSON":       `{{ range(100000) | list | tojson(separators=('A' * 100000, 'B')) }}`,
	"center":               `{{ 'a' | center(9999999999999) }}`,
	"sort":                 `{% for i in range(100000) %}{% set x = range(100000) | sort(reverse=true) %}{% endfor %}`,
	"long comparisons":     `{% set x = 'A' * 10000000 %}{% set y = x ~ 'b' %}{% for i in range(100000) %}{% if x in y %}{% endif %}{% endfor %}`,
	"power":                `{{ 99 ** 99999999 }}`,
	"the power of one":     `{% for i in range(100000) %}{% for j in range(100000) %}{% set x = 1 ** 9223372036854775807 %}{% endfor %}{% endfor %}`,
	"batches":              `{{ range(100000) | batch(100000, 'x') | list | length }}{% for i in range(100000) %}{% set x = [1] | batch(100000, 0) | list %}{% endfor %}`,
	"split":                `{{ (' a' * 30000000).split() | length }}`,
	"characters":           `{{ ('a' * 60000000) | list | length }}`,
	"reversed characters":  `{{ ('a' * 60000000)[::-1] | length }}`,
	"stripped characters":  `{% set x = 'a' * 1000000 %}{% for i in range(100000) %}{% set y = x.strip(x) %}{% endfor %}`,
	"names in a namespace": `{% set ns = namespace() %}{% for i in range(100000) %}{% for j in range(1000) %}{% set x = dict(a=i, b=j) %}{% endfor %}{% endfor %}`,
	"maps of maps":         `{% for i in range(100000) %}{% set x = range(100000) | map('string') | list %}{% endfor %}`,
	"a deep dictionary":    `{% set ns = namespace(x={}) %}{% for i in range(100000) %}{% set ns.x = {'a': ns.x} %}{% endfor %}{{ ns.x }}`,
	"deep brackets":        `{{ ` + strings.Repeat("(", 100000) + `1` + strings.Repeat(")", 100000) + ` }}`,
	"deep lists":           `{{ ` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + ` }}`,
	"deep blocks":          strings.Repeat(`{% if true %}`, 10000),
	"deep nots":            `{{ ` + strings.Repeat("not ", 100000) + `1 }}`,
	"deep signs":           `{{ ` + strings.Repeat("-", 100000) + `1 }}`,
	"a long sum":           `{{ 1` + strings.Repeat(" + 1", 100000) + ` }}`,
	"many filters":         `{{ 1` + strings.Repeat(" | string", 20000) + ` }}`,
	"many attributes":      `{{ a` + strings.Repeat(".b", 20000) + ` }}`,
	"many conditions":      `{{ 1` + strings.Repeat(" if 1 else 1", 20000) + ` }}`,
	"a huge template":      strings.Repeat("x", maxSource+1),
}

// processorTime is what this process has used, the collector's part included.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Every hostile template is an error within a second of processor time, which is more
// than a second takes on an idle machine, and makes less than 600 megabytes in all, of
// which the collector frees what is not held.
func TestHostileTemplatesAreStopped(t *testing.T) {
	for name, template := range hostile {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC() // what others left is not this one's to collect
			runtime.ReadMemStats(&before)
			start := processorTime(t)
			_, err := render(template, nil)
			took := processorTime(t) - start
			runtime.ReadMemStats(&after)
			require.Error(t, err)
			require.Less(t, len(err.Error()), 300)
			require.Less(t, took, time.Second, err)
			require.Less(t, int(after.TotalAlloc-before.TotalAlloc)>>20, 600, err)
			t.Logf("%v, %d MiB allocated in all: %v", took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20, err)
		})
	}
}

// Chains of and, or and ~ are flat or short-circuited in every real template; they may
// be as long as the source allows and still end.
func TestLongChainsEnd(t *testing.T) {
	for _, template := range []string{
		`{{ 'a'` + strings.Repeat(" ~ 'a'", 20000) + ` }}`,
		`{{ 0` + strings.Repeat(" or 0", 20000) + ` }}`,
		`{{ 1` + strings.Repeat(" < 2 > 1", 20000) + ` }}`,
	} {
		start := time.Now()
		_, _ = render(template, nil)
		require.Less(t, time.Since(start), DefaultLimits.Time+4*time.Second)
	}
}

// The time is watched too, for a machine on which the steps take long.
func TestTimeIsWatched(t *testing.T) {
	tmpl, err := Parse(`{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}`)
	require.NoError(t, err)
	l := DefaultLimits
	l.Time, l.Steps = time.Millisecond, 1<<40
	_, err = tmpl.Render(nil, goldenTime, l)
	require.EqualError(t, err, "line 1: the template was stopped: it takes longer than 1ms")
}

// A long conversation is far from the limits.
func TestALongConversationIsWithinTheLimits(t *testing.T) {
	list := &List{}
	for i := range 4000 {
		list.Items = append(list.Items, NewDict("role", []string{"user", "assistant"}[i%2], "content", strings.Repeat("word ", 200)))
	}
	text, err := render(`{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}{%- endfor %}`,
		map[string]any{"messages": list})
	require.NoError(t, err)
	require.Greater(t, len(text), 4_000_000)
}

func FuzzRender(f *testing.F) {
	values, g := readGoldens(f)
	for _, c := range g.Cases {
		f.Add(c.Template)
	}
	for _, template := range hostile {
		if len(template) < 1000 {
			f.Add(template)
		}
	}
	f.Fuzz(func(t *testing.T, template string) {
		start := time.Now()
		tmpl, err := Parse(template)
		if err == nil {
			l := Limits{Steps: 200_000, Bytes: 4 << 20, Depth: 300, Time: time.Minute}
			_, err = tmpl.Render(values, goldenTime, l)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("%v for %q", took, template)
		}
		if err != nil {
			require.IsType(t, &Error{}, err)
			require.Greater(t, err.(*Error).Line, 0)
		}
	})
}

// Each limit is the last number that is within it.
func TestLimitsAreReached(t *testing.T) {
	enough := Limits{Steps: 1 << 40, Bytes: 1 << 40, Depth: 1 << 20, Time: time.Hour}
	for name, c := range map[string]struct {
		text  string
		limit func(l *Limits, n int64)
		want  string
	}{
		"bytes":  {`{% if 'A' * 1000 %}{% endif %}`, func(l *Limits, n int64) { l.Bytes = n }, "it makes more than "},
		"steps":  {`{% for i in range(100) %}{% endfor %}`, func(l *Limits, n int64) { l.Steps = n }, "it takes more than "},
		"levels": {`{{ [[[[[1]]]]] }}`, func(l *Limits, n int64) { l.Depth = int(n) }, "it nests more than "},
	} {
		p, err := Parse(c.text)
		require.NoError(t, err)
		stopped := func(n int64) error {
			l := enough
			c.limit(&l, n)
			_, err := p.Render(nil, time.Time{}, l)
			return err
		}
		low, high := int64(0), int64(1<<20) // stopped, and not
		require.NoError(t, stopped(high), name)
		for high-low > 1 {
			if mid := (low + high) / 2; stopped(mid) != nil {
				low = mid
			} else {
				high = mid
			}
		}
		require.ErrorContains(t, stopped(low), c.want, name)
		if name == "bytes" {
			require.EqualValues(t, 1000, high, "what is made, and no byte more")
		}
	}
}

// What no published template does is refused by name.
func TestSortsThatAreRefused(t *testing.T) {
	p, err := Parse(`{{ [] | sort(attribute='a,b') }}`)
	require.NoError(t, err)
	_, err = p.Render(nil, time.Time{}, DefaultLimits)
	require.ErrorContains(t, err, "sort by several attributes is not supported")
}

// The limits are those that docs/checkpoints.md promises, and 1,500 levels.
func TestDefaultLimits(t *testing.T) {
	require.Equal(t, Limits{Steps: 2_000_000, Bytes: 64 * 1024 * 1024, Depth: 1500, Time: time.Second}, DefaultLimits)
	page, err := os.ReadFile("../../docs/checkpoints.md")
	require.NoError(t, err)
	require.Regexp(t, `stopped after 2,000,000\s+steps, 64 MiB of text and lists, or a second`, string(page))
}

// The clock is asked at each 256th step, not at each: a run whose time is over ends there.
func TestClockIsAskedNowAndThen(t *testing.T) {
	r := newRun(nil, goldenTime, Limits{Steps: 1000, Time: -time.Hour})
	steps := 0
	require.Panics(t, func() {
		for ; ; steps++ {
			r.step(1)
		}
	})
	require.Equal(t, 255, steps, "before the last")
	r = newRun(nil, goldenTime, Limits{Steps: 1000, Time: -time.Hour})
	require.Panics(t, func() { r.step(300) }, "however long a step is")
}

// What is looked at is counted by 64 bytes, what is made by its bytes and those of its words.
func TestWhatIsCounted(t *testing.T) {
	counts := func(template string) (steps, bytes int64) {
		p, err := Parse(template)
		require.NoError(t, err)
		r := newRun(map[string]any{"x": strings.Repeat("1", 6400), "d": NewDict("a", NewDict("b", NewDict("c", int64(1))))}, goldenTime, DefaultLimits)
		r.execAll(p.body)
		return r.steps, r.bytes
	}
	for _, c := range []struct {
		with, without string
		steps, bytes  int64
	}{
		{"{% if x | int %}{% endif %}", "{% if x %}{% endif %}", 1 + 4*100, 0},
		{"{% if x | float %}{% endif %}", "{% if x %}{% endif %}", 1 + 4*100, 0},
		{"{% if x | wordcount %}{% endif %}", "{% if x %}{% endif %}", 1 + 4*100, 0},
		{"{% if x | length %}{% endif %}", "{% if x %}{% endif %}", 1 + 100, 0},
		{"{% if x | upper %}{% endif %}", "{% if x %}{% endif %}", 1 + 100, 6400},
		{"{% if x | reverse %}{% endif %}", "{% if x %}{% endif %}", 1 + 5*100, 5 * 6400},
		{"{% if x is upper %}{% endif %}", "{% if x %}{% endif %}", 1 + 2*100, 0},
		{"{% if x.strip() %}{% endif %}", "{% if x.strip %}{% endif %}", 1 + 100, 0},
		{"{% if x.split(none) %}{% endif %}", "{% if x.split %}{% endif %}", 1 + 1 + 100 + 4*100, 64}, // twice 32 bytes, one part and the list of one, are no whole step each
		{"{% if [d] | map(attribute='a.b.c') %}{% endif %}", "{% if [d] | map(attribute='a') %}{% endif %}", 2 + 2*2*wordBytes/64, 2 * 2 * wordBytes},
		{"{% if x[::-1] %}{% endif %}", "{% if x[0:] %}{% endif %}", -1 + 1 + 1 + 4*100 - 100, 4 * 6400},
		{"{% set y = [1, 2, 3] %}", "{% set y = [] %}", 3, 3 * wordBytes},
		{"{% set y = {1: 2} %}", "{% set y = {} %}", 2 + entryBytes/64, entryBytes},
	} {
		steps, bytes := counts(c.with)
		s, b := counts(c.without)
		require.Equal(t, []int64{c.steps, c.bytes}, []int64{steps - s, bytes - b}, c.with)
	}
}

// A message quotes 200 bytes at most, of whole characters.
func TestMessagesAreShort(t *testing.T) {
	require.Equal(t, strings.Repeat("a", 200), shortened(strings.Repeat("a", 200)))
	require.Equal(t, strings.Repeat("a", 200)+"...", shortened(strings.Repeat("a", 201)))
	require.Equal(t, "a"+strings.Repeat("ä", 99)+"...", shortened("a"+strings.Repeat("ä", 100)))
}
