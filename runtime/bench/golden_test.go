package bench

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/lower/compile"
)

var update = flag.Bool("update", false, "rewrite the expected tables in testdata")

// TestGolden holds the tables that nothing is measured for to some that were read: variants
// in both phases, in several runs and command buffers, counted on few layers, what fusions
// save, and what is said of recorded samples.
func TestGolden(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	var got strings.Builder
	add := func(title string, v any, err error) {
		t.Helper()
		require.NoError(t, err, title)
		text, err := json.MarshalIndent(v, "", " ")
		require.NoError(t, err)
		fmt.Fprintf(&got, "-- %s --\n%s\n", title, text)
	}
	run := func(title, list string, o Options) {
		t.Helper()
		o.Variants, err = ParseVariants(list)
		require.NoError(t, err)
		if strings.Contains(title, "buffers") {
			o.Variants = WithCommandBuffers(o.Variants, []int{0, 1, 5})
		}
		for i := 0; title == "counted on few layers" && !o.many(); i++ { // the same in another place
			v := o.Variants[i]
			v.Name += " again"
			o.Variants = append(o.Variants, v)
		}
		o.Say = func(line string) { fmt.Fprintln(&got, line) }
		rows, err := Run(t.Context(), m, o)
		if len(rows) > 12 {
			rows = slices.Concat(rows[:4], rows[len(rows)-4:])
		}
		add(title, rows, err)
	}
	run("decode", "unfused,fewest", Options{Device: "cpu", Phase: "decode", Prompt: 128})
	run("decode, many tokens, another target", "fewest", Options{Device: "cuda", Phase: "decode", Prompt: 5, Tokens: 7, Compile: compile.Options{Target: "h100", Context: 12}})
	run("prefill in three runs", "default,no-qkv-rope-kv", Options{Device: "cpu", Phase: "prefill", Prompt: 150, Compile: compile.Options{Chunk: 64}})
	run("command buffers", "default", Options{Device: "metal", Phase: "decode", Prompt: 128, Compile: compile.Options{Target: "apple-m1"}})
	run("counted on few layers", "ladder,leave-one-out", Options{Device: "cpu", Phase: "decode", Prompt: 128})
	f, err := OfFusions(t.Context(), m, Options{Device: "cpu", Phase: "decode", Prompt: 128})
	add("fusions", f, err)

	sets := recordedSets(t)
	rows, err := Compare(sets["h200-0.5b"][:LeastProcesses], sets["h200-0.5b-grown10"][:LeastProcesses+1])
	add("processes, and processes that do more", rows, err)
	var samples []float64
	for n := range 24 {
		samples = append(samples, float64(n*n%37+n))
		slices.Sort(samples)
		i := medianInterval(samples)
		fmt.Fprintf(&got, "median of %d: %v %.4f\n", n+1, i, i.halfWidth())
		if n%5 == 1 {
			fmt.Fprintf(&got, "difference from six: %v\n", difference(slices.Clone(samples), samples[:max(1, min(6, n))]))
		}
	}
	const file = "testdata/tables.txt"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String(), "rewrite with -update")
}
