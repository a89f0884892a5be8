package metal_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/lower/metal"
	"foundry/lower/plan"
)

// writing is an entry that writes what %x is to a cache of halves, and multiplies what a mean
// over the cache becomes by a weight, in blocks where there are rows enough.
func writing(t *testing.T, name, x string) *ir.Graph {
	t.Helper()
	g := parse(t, "T=1..512, P=0..1023, S<=1024", "%v = state \"v\" : f16[1, 1024, 64]\n%p = input \"p\" : f32[1, T, S]\n%w = weight \"w\" : f16[1024, 64]\n"+x+
		"\n%n = kv_write %v, %x {start=P}\n%s = slice %n {axis=1, start=0, size=S}\n%q = softmax %p {causal=false, start=0}\n%a = bmm_nn %q, %s\n"+
		"%r = reshape %a {shape=[T, 64]}\n%h = silu %r\n%y = matmul_nt %h, %w\nreturn v=%n, y=%y")
	g.Name = name
	return g
}

// What entries write: weights, which bound what the cache holds, an input, which does not, or
// sums of several weights, of which a bound has as many terms.
var written = map[string]string{
	"a":       "%b = weight \"a\" : f32[100, 64]\n%i = input \"i\" : i32[T]\n%e = embedding %i, %b\n%x = kv_rearrange %e {heads=1}",
	"b":       "%b = weight \"b\" : f32[100, 64]\n%i = input \"i\" : i32[T]\n%e = embedding %i, %b\n%x = kv_rearrange %e {heads=1}",
	"nothing": "%x = input \"x\" : f32[1, T, 64]",
}

// stateOf compiles entries that write so, and says which range the cache has, of how many terms,
// and where kernels bind ranges, by entry.
func stateOf(t *testing.T, writes ...string) (at int64, terms int, bound []map[int64]bool, p *plan.Plan) {
	t.Helper()
	var entries []metal.Entry
	for i, w := range writes {
		g := writing(t, w+strings.Repeat("_", i), written[w])
		entries = append(entries, metal.Entry{Name: g.Name, Graph: g})
	}
	x := manyToTiles(t)
	choices := metal.NewChoices(x)
	p, err := metal.Compile(entries, metal.Options{Target: x, Choices: choices, Model: plan.Model{Context: 1024}, Meta: plan.Options{Weights: dtype.F16, Cache: dtype.F16}})
	require.NoError(t, err)
	require.NoError(t, p.Check())
	cache := slices.IndexFunc(p.Buffers, func(b plan.Buffer) bool { return b.Name == "v" })
	at = p.Buffers[cache].Range
	if at > 0 {
		for _, s := range p.Prepare.Steps {
			if d := s.Dispatch; d != nil && strings.HasPrefix(d.Label, "range.") && d.Bind[len(d.Bind)-1].Offset == at {
				terms = (len(d.Bind) - 1) / 2
			}
		}
	}
	for i := range p.Entries {
		ranges := map[int64]bool{}
		for _, s := range p.Entries[i].Steps {
			if s.Dispatch == nil || !slices.ContainsFunc(s.Dispatch.Bind, func(b plan.Binding) bool { return b.Buffer == cache }) {
				continue
			}
			for _, b := range s.Dispatch.Bind {
				if p.Buffers[b.Buffer].Role == plan.RangesBuffer {
					ranges[b.Offset] = true
				}
			}
		}
		bound = append(bound, ranges)
		// What the model says of the entry is of the kernels that the plan has.
		g := entries[i].Graph
		us := 0.0
		for _, w := range cost.WavesOf(g, choices, cost.Typical(g.Bounds)) {
			us += cost.Wave(w, x)
		}
		require.InDelta(t, p.Entries[i].Modelled.DeviceUs, us, 0.06, "%v: entry %d", writes, i)
	}
	return at, terms, bound, p
}

// Entries share a cache, and what it holds: it is scaled in all of them by one range, that of
// what any of them writes, or in none, where one may write anything.
func TestEntriesAgreeOnStates(t *testing.T) {
	for _, c := range []struct {
		writes []string
		terms  int // weights that the cache's range is made from
	}{
		{[]string{"a"}, 1}, {[]string{"a", "a"}, 1}, {[]string{"a", "b"}, 2}, {[]string{"b", "a"}, 2}, {[]string{"a", "b", "a", "a", "b"}, 2},
		{[]string{"nothing"}, 0}, {[]string{"a", "nothing"}, 0}, {[]string{"nothing", "a"}, 0}, {[]string{"a", "nothing", "b"}, 0},
	} {
		at, terms, bound, _ := stateOf(t, c.writes...)
		require.Equal(t, c.terms > 0, at > 0, "%v", c.writes)
		require.Equal(t, c.terms, terms, "%v", c.writes)
		for _, ranges := range bound {
			if at > 0 {
				require.Equal(t, map[int64]bool{at: true}, ranges, "%v", c.writes)
			} else {
				require.Empty(t, ranges, "%v", c.writes)
			}
		}
	}
	// However many entries write two weights in turn, the range is of these two.
	var many []string
	for range 12 {
		many = append(many, "a", "b")
	}
	_, terms, _, _ := stateOf(t, many...)
	require.Equal(t, 2, terms)
}

// Entries that have a state in other types, or of another size, are refused.
func TestEntriesWithOtherStates(t *testing.T) {
	const body = "%v = state \"v\" : f16[1, 64, 32]\n%x = input \"x\" : f32[1, T, 32]\n%n = kv_write %v, %x {start=P}\nreturn v=%n"
	for _, other := range []string{"f32[1, 64, 32]", "f16[1, 32, 32]", "f16[2, 64, 32]"} {
		g := parse(t, "T=1..8, P=0..24, S<=32", body)
		o := parse(t, "T=1..8, P=0..24, S<=32", strings.Replace(strings.Replace(body, "f16[1, 64, 32]", other, 1), "f32[1, T", "f32["+other[4:5]+", T", 1))
		_, err := metal.Compile([]metal.Entry{{Name: "one", Graph: g}, {Name: "other", Graph: o}}, metal.Options{Target: m3Pro(t), Model: plan.Model{Context: 32}})
		require.EqualError(t, err, "entry other: state \"v\" is "+other+" here and f16[1, 64, 32] in another entry")
	}
}
