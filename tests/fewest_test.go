package tests

import (
	"fmt"
	"regexp"
	"slices"
	"testing"

	"foundry"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/lower/plan"

	"github.com/stretchr/testify/require"
)

var sizes = []string{"0.5b", "1.5b", "3b", "7b"}

// compiled compiles a published size. layers cuts the model short, 0 leaves it.
func compiled(t *testing.T, size string, layers int, o foundry.CompileOptions) *foundry.Compiled {
	t.Helper()
	m, err := foundry.Open("synth:qwen2.5-"+size, foundry.Hub{})
	require.NoError(t, err)
	if layers > 0 {
		m.Config.Layers = layers
	}
	c, err := foundry.Compile(m, o)
	require.NoError(t, err)
	require.NoError(t, m.Close())
	return c
}

func entryOf(t *testing.T, p *plan.Plan, name string) *plan.Entry {
	t.Helper()
	e, err := p.Entry(name)
	require.NoError(t, err)
	return e
}

// byLayer counts the dispatches of each layer and the waves that they lie in; -1
// is what stands outside of the layers.
func byLayer(e *plan.Entry) (dispatches, waves map[int]int) {
	dispatches, waves = map[int]int{}, map[int]int{}
	seen := map[[2]int]bool{}
	for _, s := range e.Steps {
		if d := s.Dispatch; d != nil {
			dispatches[d.Layer]++
			if at := [2]int{d.Layer, d.Wave}; !seen[at] {
				seen[at] = true
				waves[d.Layer]++
			}
		}
	}
	return dispatches, waves
}

// fewest, and on the default target what the cost model chooses: five dispatches in
// five waves a layer; embedding, head and argmax are three more.
func TestFiveDispatchesALayer(t *testing.T) {
	for _, size := range sizes {
		for _, variant := range []string{"fewest", "default"} {
			c := compiled(t, size, 0, foundry.CompileOptions{Variant: variant})
			e := entryOf(t, c.Plan, "decode")
			require.True(t, slices.ContainsFunc(e.Results, func(r plan.Result) bool { return r.Name == "token" }), "the plan chooses the token")
			dispatches, waves := byLayer(e)
			total := 0
			for layer, n := range dispatches {
				total += n
				if layer >= 0 {
					require.LessOrEqual(t, n, 5, "%s %s: dispatches of layer %d", size, variant, layer)
					require.LessOrEqual(t, waves[layer], 5, "%s %s: waves of layer %d", size, variant, layer)
				}
			}
			layers := c.Plan.Model.Layers
			require.Len(t, dispatches, layers+1)
			require.LessOrEqual(t, total, 5*layers+3, "%s %s", size, variant)
			t.Logf("%-4s %-7s %d dispatches, %d a layer", size, variant, total, dispatches[0])
		}
	}
}

// Wherever the three products stand apart, as in prefill of 7b on large machines, each
// adds its bias itself: no bias is a dispatch of its own.
func TestNoBiasStandsAlone(t *testing.T) {
	apart := 0
	for _, x := range []string{"apple-m1", target.Default, "apple-m3-ultra", "apple-m4-max", "h100", "cpu"} {
		for _, size := range sizes {
			for _, g := range compiled(t, size, 2, foundry.CompileOptions{Target: x}).Entries {
				for _, n := range g.Nodes() {
					require.False(t, n.Op == ir.OpAdd && n.Args[1].Type.Shape.Rank == 1, "%s %s %s: %s", x, size, g.Name, n.Label)
					if n.Attr.Pattern == "bias" {
						apart++
					}
				}
			}
		}
	}
	require.NotZero(t, apart)
}

// withoutStep returns p with entry e alone and step i of it left out.
func withoutStep(p *plan.Plan, e *plan.Entry, i int) *plan.Plan {
	q, cut := *p, *e
	cut.Steps = slices.Delete(slices.Clone(e.Steps), i, i+1)
	q.Entries = []plan.Entry{cut}
	return &q
}

func withBarrier(p *plan.Plan, e *plan.Entry, i int) *plan.Plan {
	q, more := *p, *e
	more.Steps = slices.Insert(slices.Clone(e.Steps), i, plan.Step{Barrier: true})
	q.Entries = []plan.Entry{more}
	return &q
}

// In every plan, leaving out any barrier is a hazard, and one more anywhere is
// redundant: the checker knows both ways.
func TestEveryBarrierOfEveryPlanIsNeeded(t *testing.T) {
	for _, size := range sizes {
		for _, variant := range []string{"unfused", "per-layer-6", "default", "fewest"} {
			// A second layer follows a first, a third a second; more say nothing new.
			p := compiled(t, size, 3, foundry.CompileOptions{Variant: variant}).Plan
			require.NoError(t, p.CheckHazards())
			for i := range p.Entries {
				e := &p.Entries[i]
				barriers := 0
				for i, s := range e.Steps {
					if s.Barrier {
						barriers++
						var h *plan.Hazard
						require.ErrorAs(t, withoutStep(p, e, i).CheckHazards(), &h, "%s %s %s without the barrier at %d", size, variant, e.Name, i)
						require.True(t, h.FirstStep < i && h.SecondStep >= i, "%v", h)
						continue
					}
					var r *plan.RedundantBarrier
					require.ErrorAs(t, withBarrier(p, e, i).CheckHazards(), &r, "%s %s %s with a barrier at %d", size, variant, e.Name, i)
				}
				require.Positive(t, barriers)
			}
		}
	}
}

// liveBytes returns the largest number of arena bytes that are in use in one wave
// of an entry: those that lie in the place of a transient between its first use and
// its last. A byte that an operand leaves to a result counts once.
func liveBytes(p *plan.Plan, e *plan.Entry) int64 {
	type life struct{ lo, hi, first, last int64 }
	lives := map[int]*life{}
	waves := int64(0)
	for _, s := range e.Steps {
		if s.Dispatch == nil {
			continue
		}
		w := int64(s.Dispatch.Wave)
		waves = max(waves, w+1)
		for _, b := range s.Dispatch.Bind {
			buf := &p.Buffers[b.Buffer]
			if buf.Class != plan.Transient {
				continue
			}
			if lives[b.Buffer] == nil {
				lives[b.Buffer] = &life{buf.Offset, buf.Offset + buf.Bytes, w, w}
			}
			lives[b.Buffer].last = w
		}
	}
	most := int64(0)
	for w := range waves {
		var live []*life
		for _, l := range lives {
			if l.first <= w && w <= l.last {
				live = append(live, l)
			}
		}
		slices.SortFunc(live, func(a, b *life) int { return int(a.lo - b.lo) })
		sum, end := int64(0), int64(0)
		for _, l := range live {
			sum += max(0, l.hi-max(l.lo, end))
			end = max(end, l.hi)
		}
		most = max(most, sum)
	}
	return most
}

// The arena is within a tenth of what is in use at once in some wave, for every
// size and for each entry by itself.
func TestArenaIsTight(t *testing.T) {
	t.Parallel()
	for _, size := range qwen25.Family.SizeNames() {
		for _, o := range []foundry.CompileOptions{{Variant: "unfused"}, {Variant: "per-layer-6"}, {Variant: "fewest"}, {}, {Target: "h100"}} {
			layers := 4
			if slices.Contains(sizes, size) && (o.Variant == "fewest" || o.Variant == "") {
				layers = 0
			}
			c := compiled(t, size, layers, o)
			worst := 0.0
			for i := range c.Entries {
				alone, err := c.Graphs.LowerEntries([]metal.Entry{{Name: c.Entries[i].Name, Graph: c.Entries[i]}})
				require.NoError(t, err)
				live := int64(0)
				for _, e := range alone.Runs() { // the preparation shares the arena
					live = max(live, liveBytes(alone, e))
				}
				ratio := float64(alone.ArenaBytes) / float64(live)
				require.LessOrEqual(t, ratio, 1.1, "%s %s: %d bytes for %d", size, c.Entries[i].Name, alone.ArenaBytes, live)
				worst = max(worst, ratio)
			}
			t.Logf("%-4s %-7s %-14s at most %.3f times what lives at once", size, c.Options.Variant, c.Options.Target, worst)
		}
	}
}

// Where the cost model takes more than five dispatches a layer, the log says for
// each of them what going without it would have cost.
func TestMoreThanFiveIsExplained(t *testing.T) {
	numbers := regexp.MustCompile(`^predicted [0-9.]+ [mun]?s with [a-z0-9 -]+, against [0-9.]+ [mun]?s with [a-z0-9 -]+( or [0-9.]+ [mun]?s with [a-z0-9 -]+)*$|` +
		`; not more: [a-z0-9_, ]+ would (save|lose) [0-9.]+ [mun]?s, this saves [0-9.]+ [mun]?s$`)
	above := map[string]bool{}
	for _, x := range []string{"apple-m1", target.Default, "apple-m2-ultra", "apple-m3-ultra", "apple-m4-max", "h100", "cpu"} {
		for _, size := range sizes {
			c := compiled(t, size, 2, foundry.CompileOptions{Target: x})
			dispatches, _ := byLayer(entryOf(t, c.Plan, "decode"))
			if dispatches[1] <= 5 {
				continue
			}
			above[x+" "+size] = true
			var why []string
			for _, d := range c.Decisions {
				if d.Entry == "decode" && d.Layer == 1 && d.Pattern != "rope-attention" && numbers.MatchString(d.Reason) {
					why = append(why, fmt.Sprintf("%s: %s", d.Pattern, d.Reason))
				}
			}
			t.Logf("%s %s: %d a layer: %q", x, size, dispatches[1], why)
			require.GreaterOrEqual(t, len(why), dispatches[1]-5, "%s %s has %d dispatches a layer", x, size, dispatches[1])
		}
	}
	require.NotEmpty(t, above)
}
