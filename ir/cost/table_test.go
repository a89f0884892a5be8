package cost

import (
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/ir/task"
	"foundry/tests/mutate"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

// What the model says of layers of real models and of pieces that no model has, on a target
// of each family, is what stands beside their graphs. A line a kernel has what differs from
// zero of its numbers, behind it limits and the other kernels that a node could get. No
// number of it is right or wrong by itself: who changes the model reads what else changes.
func TestTables(t *testing.T) {
	files, err := filepath.Glob("testdata/graphs/*.fir")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".fir"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			var b strings.Builder
			for _, name := range []string{"apple-m3-pro", "apple-m5", "h200", "cpu"} {
				x, err := target.Find(name)
				require.NoError(t, err)
				writeTable(t, &b, string(text), x)
			}
			table := strings.TrimSuffix(file, ".fir") + ".txt"
			require.NoError(t, mutate.Keep(table, b.String(), *update))
		})
	}
}

func writeTable(t *testing.T, b *strings.Builder, text string, x *target.Target) {
	t.Helper()
	g, err := ir.Parse("g.fir", text)
	require.NoError(t, err)
	c, e := NewChoices(x, nil), Typical(g.Bounds)
	sum := Summarise(g, c, e)
	fmt.Fprintf(b, "%s: %d dispatches in %d waves, %.6g us while open, %.6g bytes of memory, %d moved, %d operations; %.6g us and %d times %.6g us as it is\n",
		x.Name, sum.Dispatches, sum.Waves, sum.Us, sum.Memory, sum.Moved, sum.Flops, Predict(g, c, x, e, 0), 5, Repeated(g, c, x, e, 5))
	run := c.Finished(g, e)
	for i, n := range g.Nodes() {
		if task.IsView(n) {
			continue
		}
		name := n.Op.String() + " " + n.Attr.Pattern
		fmt.Fprintf(b, " %d %s:", i, strings.TrimSpace(name))
		for _, r := range n.Results {
			if run.Stored.Halves(r) || run.Stored.Narrowed(r) {
				fmt.Fprintf(b, " halves=%t narrowed=%t", run.Stored.Halves(r), run.Stored.Narrowed(r))
			}
		}
		if err := c.Lowerable(n); err != nil {
			fmt.Fprintf(b, " by itself none: %v;", err)
		}
		r, err := run.work(n)
		if err != nil {
			fmt.Fprintf(b, " %v\n", err)
			continue
		}
		chosen, err := Choose(r, x)
		if err != nil {
			fmt.Fprintf(b, " %v\n", err)
			continue
		}
		if chosen != nil {
			fmt.Fprintf(b, " %s", chosen)
		}
		fmt.Fprintf(b, " slots=%d groups=%v\n", slotsOf(r, chosen), groupsOf(r, chosen, x))
		for _, at := range []sym.Env{e, {T: g.Bounds.TMin, P: g.Bounds.PMax / 3}} {
			fmt.Fprintf(b, "  %+v", at)
			run.Env = at
			for _, k := range run.Kernels(n) {
				writeKernel(b, k)
			}
			fmt.Fprintln(b)
		}
		run.Env = e
		writeOthers(t, b, run, n)
	}
}

func writeKernel(b *strings.Builder, k Kernel) {
	v := reflect.ValueOf(k)
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case f.IsZero():
		case f.Kind() == reflect.Float64:
			fmt.Fprintf(b, " %s=%.6g", v.Type().Field(i).Name, f.Float())
		default:
			fmt.Fprintf(b, " %s=%v", v.Type().Field(i).Name, f)
		}
	}
}

// writeOthers writes how many kernels n can get, those of each main with the time that they
// take together, and a sum over their texts and numbers.
func writeOthers(t *testing.T, b *strings.Builder, run Run, n *ir.Node) {
	t.Helper()
	var mains []string
	us, count, sums := map[string]float64{}, map[string]int{}, map[string]uint32{}
	kernels := []kernel.Kernel{}
	for k := range run.Candidates(n) {
		kernels = append(kernels, k)
	}
	open := n.Attr.Kernel
	for _, k := range kernels {
		main, _, _ := strings.Cut(k.String(), " ")
		if count[main] == 0 {
			mains = append(mains, main)
		}
		count[main]++
		var text strings.Builder
		text.WriteString(k.String())
		n.Attr.Kernel = k.String()
		r, err := run.work(n)
		require.NoError(t, err)
		run.Choices = &Choices{Target: run.Target, known: map[string]*Choice{string(appendWork(nil, n, r)): {Kernel: k}}}
		for _, one := range run.Kernels(n) {
			us[main] += one.Us(run.Target)
			writeKernel(&text, one)
		}
		sums[main] = crc32.Update(sums[main], crc32.IEEETable, []byte(text.String()))
	}
	n.Attr.Kernel = open
	for _, m := range mains {
		fmt.Fprintf(b, "  %d %s: %.6g us %08x\n", count[m], m, us[m], sums[m])
	}
}

// How rows of products are dealt out, simdgroups of attention and parts of keys, over sizes
// that no graph here has: rows a simdgroup, simdgroups that share them, simdgroups a
// threadgroup, and r where some wait.
func TestDeals(t *testing.T) {
	var b strings.Builder
	for _, name := range []string{"apple-m1", "apple-m5-max", "h200", "cpu"} {
		x, err := target.Find(name)
		require.NoError(t, err)
		write := func(d rowDivision) {
			fmt.Fprintf(&b, " %d/%d/%d%s", d.PerSimd, d.Share, d.Simds, map[bool]string{true: "r"}[d.InRounds])
		}
		for _, unit := range []int{1, 2, 4} {
			for _, run := range []int64{1, 8} {
				for _, rows := range []int64{16, 128, 896, 1536, 4864, 9728, 18944, 152064} {
					for _, kind := range []string{"staged", "direct", "sliced", "sliced in large chunks"} {
						fmt.Fprintf(&b, "%s %s, %d rows, %d together, runs of %d:", name, kind, rows, unit, run)
						for _, rounds := range []int64{1, 2, 3, 4, 7, 8, 9, 16, 17, 40} {
							switch kind {
							case "sliced":
								write(dealSliced(rows, unit, rounds, run, 6, x))
							case "sliced in large chunks":
								write(dealSliced(rows, unit, rounds, run, 7, x))
							default:
								write(deal(rows, unit, rounds, run, kind == "direct", x))
							}
						}
						fmt.Fprintln(&b)
					}
				}
			}
			fmt.Fprintf(&b, "%s heads, %d together:", name, unit)
			for _, whole := range []int64{16, 32, 64, 96, 128, 256, 512} {
				write(dealHeads(whole, unit))
			}
			fmt.Fprintln(&b)
		}
		for _, heads := range []int64{1, 4, 14, 28, 448, 7168} {
			fmt.Fprintf(&b, "%s, %d rows of heads, parts and simdgroups:", name, heads)
			for _, keys := range []int64{1, 255, 256, 257, 1024, 4096, 131072} {
				fmt.Fprintf(&b, " %d %d %d", splits(heads, keys, x), rowSIMDs(heads, keys, 64, 16, x), rowSIMDs(heads, keys, 128, 8, x))
			}
			fmt.Fprintln(&b)
		}
	}
	require.NoError(t, mutate.Keep("testdata/deals.txt", b.String(), *update))
}
