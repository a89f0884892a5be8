package tests

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"foundry"
	"foundry/frontends/qwen25"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/runtime/msl/gate"
)

var updateCounters = flag.Bool("update-counters", false, "rewrite the tables of counters and of plan hashes")

// reference is a configuration whose numbers are committed.
type reference struct{ model, variant, target string }

// references are the embedded model, every published size of Qwen2.5 and three of Qwen3
// in the named variants, what the H100 gets, and the ladder of the smallest size.
func references() []reference {
	var out []reference
	add := func(model, variant, target string) {
		if r := (reference{model, variant, target}); !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	models := []string{"kjv-2m"}
	for _, size := range qwen25.Family.SizeNames() {
		models = append(models, "synth:qwen2.5-"+size)
	}
	for _, size := range []string{"0.6b", "4b", "8b"} {
		models = append(models, "synth:qwen3-"+size)
	}
	for _, m := range models {
		for _, v := range []string{"unfused", "per-layer-6", "default", "fewest"} {
			add(m, v, target.Default)
		}
		add(m, "default", "h100")
	}
	for _, v := range passes.Ladder() {
		add("synth:qwen2.5-0.5b", v, target.Default)
	}
	return out
}

// identified are those whose plans' hashes are committed: whatever moves a kernel,
// a buffer, a dispatch or a decision moves one.
func identified() []reference {
	return []reference{
		{"kjv-2m", "unfused", target.Default}, {"kjv-2m", "default", target.Default}, {"kjv-2m", "fewest", target.Default},
		{"synth:qwen2.5-0.5b", "default", target.Default}, {"synth:qwen2.5-7b", "default", "h100"},
	}
}

func (r reference) String() string {
	return strings.TrimPrefix(r.model, "synth:") + "\t" + r.variant + "\t" + r.target
}

func (r reference) compile() (*foundry.Compiled, error) {
	m, err := foundry.Open(r.model, foundry.Hub{})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return foundry.Compile(m, foundry.CompileOptions{Variant: r.variant, Target: r.target})
}

// counters returns a line for each entry of the plan.
func (r reference) counters(c *foundry.Compiled) (lines []string) {
	for i := range c.Plan.Entries {
		e := &c.Plan.Entries[i]
		env := sym.Env{T: e.TMax}
		if env.T == 1 {
			env.P = int64(c.Plan.Model.Context) / 2
		}
		s := c.Plan.Stats(e, env)
		sites := map[string]int{}
		for _, d := range c.Decisions {
			if d.Entry == e.Name && d.Outcome == plan.Matched {
				sites[d.Pattern]++
			}
		}
		matched := []string{}
		for _, p := range slices.Sorted(maps.Keys(sites)) {
			matched = append(matched, fmt.Sprintf("%s:%d", p, sites[p]))
		}
		if len(matched) == 0 {
			matched = []string{"-"}
		}
		lines = append(lines, fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%.1f\t%d\t%d\t%s", r, e.Name,
			s.Dispatches, s.Waves, s.Barriers, float64(s.MovedBytes)/1e6, len(s.Kernels), s.ArenaBytes, strings.Join(matched, " ")))
	}
	return lines
}

// table compiles references, whose kernels the gate accepts, and puts together what
// lines says of each.
func table(t *testing.T, header string, all []reference, lines func(reference, *foundry.Compiled) []string) string {
	t.Helper()
	each := make([][]string, len(all))
	var group errgroup.Group
	group.SetLimit(runtime.NumCPU())
	for i, r := range all {
		group.Go(func() error {
			c, err := r.compile()
			if err == nil {
				err = gate.Check(c.Plan.Kernels)
			}
			if err == nil {
				each[i] = lines(r, c)
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, header)
	for _, l := range slices.Concat(each...) {
		fmt.Fprintln(w, l)
	}
	require.NoError(t, w.Flush())
	return b.String()
}

// What compiling costs and saves changes on purpose only.
func TestCounters(t *testing.T) {
	t.Parallel()
	requireTable(t, "testdata/counters.txt", table(t, "model\tvariant\ttarget\tentry\tdispatches\twaves\tbarriers\tMB moved\tkernels\tarena bytes\tmatched sites",
		references(), reference.counters))
}

// And so do the plans themselves.
func TestPlanHashes(t *testing.T) {
	requireTable(t, "testdata/plan-hashes.txt", table(t, "model\tvariant\ttarget\tplan hash", identified(),
		func(r reference, c *foundry.Compiled) []string {
			return []string{fmt.Sprintf("%s\t%s", r, c.Plan.Hash)}
		}))
}

// requireTable compares text with a committed file and names the lines that moved.
func requireTable(t *testing.T, file, text string) {
	t.Helper()
	if *updateCounters {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o666))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	if string(want) == text {
		return
	}
	was, is := strings.Split(string(want), "\n"), strings.Split(text, "\n")
	for _, l := range was {
		if !slices.Contains(is, l) {
			t.Logf("was %s", l)
		}
	}
	for _, l := range is {
		if !slices.Contains(was, l) {
			t.Logf("is  %s", l)
		}
	}
	t.Errorf("%s has moved; if that is meant: go test ./tests -run 'Counters|PlanHashes' -update-counters", file)
}
