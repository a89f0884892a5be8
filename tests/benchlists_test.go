package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/runtime/bench"
	"foundry/tests/oncpu"
)

func benchRows(t *testing.T, out string) []bench.Row {
	t.Helper()
	var rows []bench.Row
	for _, l := range strings.Split(strings.TrimSpace(out), "\n") {
		var r bench.Row
		require.NoError(t, json.Unmarshal([]byte(l), &r))
		rows = append(rows, r)
	}
	return rows
}

// A long list is compiled together; what it says of a variant is what the variant's
// own compile says, but for the arena, which is the entry's own.
func TestBenchPairs(t *testing.T) {
	rows := benchRows(t, ok(t, "bench", "--variants", "pairs", "--reps", "0", "--json"))
	require.Greater(t, len(rows), 100)
	names := map[string]bench.Row{}
	for _, r := range rows {
		names[r.Variant] = r
	}
	for _, name := range []string{"unfused", "attention", "head+embedding-norm"} {
		own := benchRows(t, ok(t, "bench", "--passes", names[name].Passes, "--reps", "0", "--json"))[0]
		have := names[name]
		require.LessOrEqual(t, have.ArenaBytes, own.ArenaBytes)
		own.Variant, own.ArenaBytes = have.Variant, have.ArenaBytes
		for target, us := range own.Modelled { // but for the order in which layers are summed
			require.InEpsilon(t, us, have.Modelled[target], 1e-12)
		}
		own.Modelled = have.Modelled
		require.Equal(t, own, have)
	}
}

// Variants of a long list that give one plan are measured once.
func TestBenchMeasuresDistinctPlans(t *testing.T) {
	oncpu.Need(t)
	dir := t.TempDir()
	var lines []string
	for i := range 20 {
		lines = append(lines, fmt.Sprintf("mine%d = canonicalize,cse,dce,drop-repeat-kv,fuse-rmsnorm-qkv,fuse-rope-kv,fuse-attention,fuse-residual{sums=false},fuse-gate-up-swiglu,legalize", i),
			fmt.Sprintf("less%d = canonicalize,cse,dce,drop-repeat-kv,fuse-rmsnorm-qkv,fuse-rope-kv,fuse-attention,legalize", i))
	}
	list, samples := filepath.Join(dir, "list.txt"), filepath.Join(dir, "samples.csv")
	require.NoError(t, os.WriteFile(list, []byte(strings.Join(lines, "\n")), 0o644))
	rows := benchRows(t, ok(t, "bench", "--device", "cpu", "--variants", "@"+list, "--reps", "2", "--json", "--csv", samples))
	require.Len(t, rows, 2)
	require.Equal(t, "mine0", rows[0].Variant)
	for _, r := range rows {
		require.Len(t, r.Also, 19)
		require.Equal(t, 2, r.Measured.N)
	}
	text, err := os.ReadFile(samples)
	require.NoError(t, err)
	require.Equal(t, 1+4, strings.Count(string(text), "\n"))

	requireOneLine(t, nil, 1, "too many for ref", "bench", "--device", "ref", "--variants", "@"+list)
	requireOneLine(t, nil, 1, "at most 32", "bench", "--variants", "@"+list, "--per-kernel")
	requireOneLine(t, nil, 1, "no such file", "bench", "--csv", filepath.Join(dir, "none", "x.csv"))
}

func TestBenchScore(t *testing.T) {
	args := []string{"bench", "--device", "ref", "--variants", "unfused,per-layer-6,fewest", "--reps", "1", "--prompt", "4", "--score"}
	require.Regexp(t, `Spearman's rank correlation: -?[01]\.\d{3} over 3 variants`, ok(t, args...))
	out := strings.Split(strings.TrimSpace(ok(t, append(args, "--json")...)), "\n")
	var last struct{ Score *bench.Score }
	require.NoError(t, json.Unmarshal([]byte(out[3]), &last))
	require.Equal(t, "apple-m3-pro", last.Score.Target)
	require.Len(t, last.Score.Rows, 3)
	requireOneLine(t, nil, 2, "compares with measured times", append(args, "--reps", "0")...)
}

// Command buffers: compile and inspect print what the model says of them, bench has a
// row a number.
func TestCommandBuffers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "plan")
	out := ok(t, "compile", "--command-buffers", "4", "-o", dir)
	line := regexp.MustCompile(`modelled on apple-m3-pro, uncalibrated \(T=1, P=\d+\): kernels and barriers (\S+ \S+), encoding (\S+ \S+); (\S+ \S+) in 4 command buffers, (\S+ \S+) in one`)
	found := line.FindStringSubmatch(out)
	require.NotNil(t, found, out)
	require.Contains(t, ok(t, "inspect", dir), found[0])
	require.NotEqual(t, found[3], found[4])

	rows := benchRows(t, ok(t, "bench", "--model", "synth:qwen2.5-0.5b", "--variants", "unfused", "--command-buffers", "1,4,auto", "--reps", "0", "--json"))
	require.Len(t, rows, 3)
	require.Equal(t, []string{"unfused/buffers=1", "unfused/buffers=4", "unfused/buffers=auto"}, []string{rows[0].Variant, rows[1].Variant, rows[2].Variant})
	require.Equal(t, []int{1, 4}, []int{rows[0].CommandBuffers, rows[1].CommandBuffers})
	us := func(r bench.Row) float64 { return r.Modelled["apple-m3-pro"] }
	require.LessOrEqual(t, us(rows[2]), min(us(rows[0]), us(rows[1])), "auto is the best")
	requireOneLine(t, nil, 2, "want auto or a number", "compile", "--command-buffers", "0", "--explain")
	requireOneLine(t, nil, 2, "want auto or a number", "bench", "--command-buffers", "1,few")
}

// "all" has fusions as they are whole, "forms" those in part as well.
func TestListsOfSubsets(t *testing.T) {
	names := func(list string) map[string]bool {
		variants, err := bench.ParseVariants(list)
		require.NoError(t, err)
		out := map[string]bool{}
		for _, v := range variants {
			out[v.Name] = true
		}
		require.Len(t, out, len(variants), "no name stands twice")
		return out
	}
	all, forms := names("all"), names("forms")
	require.Less(t, len(all), len(forms))
	for name := range all {
		require.True(t, forms[name], name)
	}
	require.True(t, all["head"] && all["gate-up-swiglu-no-norm"])
	require.False(t, all["head-no-argmax"])
	require.True(t, forms["head-no-argmax"])
}
