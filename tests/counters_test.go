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

	"foundry"
	"foundry/frontends/qwen25"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/passes"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

var updateCounters = flag.Bool("update-counters", false, "rewrite the tables of counters and of plan hashes")

// reference is a configuration whose numbers are committed.
type reference struct{ model, variant, target string }

// references are the embedded model and every published size in the named
// variants, what the H100 gets, and the ladder of the smallest size.
func references() []reference {
	var out []reference
	add := func(model, variant, target string) {
		if r := (reference{model, variant, target}); !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	models := []string{"kjv-2m"}
	for _, size := range qwen25.Sizes() {
		models = append(models, "synth:qwen2.5-"+size)
	}
	for _, m := range models {
		for _, v := range []string{"none", "six", "default", "floor"} {
			add(m, v, target.Default)
		}
		add(m, "default", "h100")
	}
	for _, v := range passes.Ladder() {
		add("synth:qwen2.5-0.5b", v, target.Default)
	}
	return out
}

// counters compiles a reference and returns its lines of the table, one an entry,
// and the plan's hash.
func (r reference) counters() (lines []string, hash string, err error) {
	m, err := foundry.Open(r.model, foundry.Hub{})
	if err != nil {
		return nil, "", err
	}
	defer m.Close()
	c, err := foundry.Compile(m, foundry.CompileOptions{Variant: r.variant, Target: r.target})
	if err != nil {
		return nil, "", err
	}
	for i := range c.Plan.Entries {
		e := &c.Plan.Entries[i]
		env := sym.Env{T: e.TMax}
		if env.T == 1 {
			env.P = int64(c.Plan.Model.Context) / 2
		}
		s := c.Plan.Stats(e, env)
		sites := map[string]int{}
		for _, d := range c.Decisions {
			if d.Entry == e.Name && d.Outcome == passes.Matched {
				sites[d.Pattern]++
			}
		}
		var matched []string
		for _, p := range slices.Sorted(maps.Keys(sites)) {
			matched = append(matched, fmt.Sprintf("%s:%d", p, sites[p]))
		}
		if matched == nil {
			matched = []string{"-"}
		}
		lines = append(lines, fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%.1f\t%d\t%d\t%s", r, e.Name,
			s.Dispatches, s.Waves, s.Barriers, float64(s.MovedBytes)/1e6, len(s.Kernels), s.ArenaBytes, strings.Join(matched, " ")))
	}
	return lines, c.Plan.Hash, nil
}

func (r reference) String() string {
	return strings.TrimPrefix(r.model, "synth:") + "\t" + r.variant + "\t" + r.target
}

// tables returns what each entry of the references counts, and the hashes of the
// plans that people get.
func tables(t *testing.T) (counts, hashes string) {
	t.Helper()
	all := references()
	lines, sums := make([][]string, len(all)), make([]string, len(all))
	var group errgroup.Group
	group.SetLimit(runtime.NumCPU())
	for i, r := range all {
		group.Go(func() (err error) {
			lines[i], sums[i], err = r.counters()
			return err
		})
	}
	require.NoError(t, group.Wait())
	counted := []string{"model\tvariant\ttarget\tentry\tdispatches\twaves\tbarriers\tMB moved\tkernels\tarena bytes\tmatched sites"}
	hashed := []string{"model\tvariant\ttarget\tplan hash"}
	for i, r := range all {
		counted = append(counted, lines[i]...)
		if r.variant == "default" || r.variant == "floor" {
			hashed = append(hashed, fmt.Sprintf("%s\t%s", r, sums[i]))
		}
	}
	return aligned(t, counted), aligned(t, hashed)
}

func aligned(t *testing.T, lines []string) string {
	t.Helper()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(lines, "\n"))
	require.NoError(t, w.Flush())
	return b.String()
}

// What compiling costs and saves, and the plans themselves, change on purpose only:
// go test ./tests -run Counters -update-counters writes the new numbers.
func TestCounters(t *testing.T) {
	counts, hashes := tables(t)
	for file, text := range map[string]string{"testdata/counters.txt": counts, "testdata/plan-hashes.txt": hashes} {
		if *updateCounters {
			require.NoError(t, os.WriteFile(file, []byte(text), 0o666))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		if string(want) == text {
			continue
		}
		// The lines that moved, not the whole table.
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
		t.Errorf("%s has moved; if that is meant: go test ./tests -run Counters -update-counters", file)
	}
}
