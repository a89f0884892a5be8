package cost

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/ir/target"
	"foundry/ir/task"
)

// rowsMeasured are the times of testdata/registers-h200.csv, us, by product and by kernel: the
// fastest that any number of registers gives. again is the largest factor between two times of
// one kernel with the same registers at two places of the table.
type rowsMeasured struct {
	us    map[string]float64
	again float64
}

func measuredRows(t *testing.T) map[string]rowsMeasured {
	t.Helper()
	out := map[string]rowsMeasured{}
	before := map[string]float64{}
	for _, l := range measured(t, "registers-h200.csv") {
		us, err := strconv.ParseFloat(l[14], 64)
		require.NoError(t, err)
		product, k := l[0]+" "+l[1], strings.Join(l[2:9], ",")
		m, ok := out[product]
		if !ok {
			m = rowsMeasured{map[string]float64{}, 1}
		}
		if m.us[k] == 0 || us < m.us[k] {
			m.us[k] = us
		}
		same := product + k + l[11]
		if b := before[same]; b > 0 {
			m.again = max(m.again, us/b, b/us)
		}
		before[same] = us
		out[product] = m
	}
	return out
}

// Of the kernels over rows that were measured with several numbers of registers the model takes
// one as fast as the fastest, as far as one kernel measured twice takes one time.
func TestRowsAsMeasured(t *testing.T) {
	x, err := target.Find("h200")
	require.NoError(t, err)
	const decl = "%%x = input \"x\" : f32[1, 3584]\n%%n = weight \"n\" : f32[3584]\n%%a = weight \"a\" : %[1]s[%[2]d, 3584]\n%%b = weight \"b\" : %[1]s[%[2]d, 3584]"
	all := measuredRows(t)
	require.Len(t, all, 4)
	for product, m := range all {
		format, name, _ := strings.Cut(product, " ")
		text, results, rows := "%h = rms_norm %x, %n {eps=1e-06}\n%y = matmul_nt %h, %a", "y=%y", 152064
		if name == "gate_up" {
			text, results, rows = "%h = rms_norm %x, %n {eps=1e-06}\n%g = matmul_nt %h, %a\n%u = matmul_nt %h, %b\n%s = silu %g\n%y = mul %s, %u", "y=%y", 18944
		}
		r := regionOf(t, x, fmt.Sprintf(decl, format, rows), text, results)
		k, err := Choose(r, x)
		require.NoError(t, err)
		p, err := task.ProductOf(r)
		require.NoError(t, err)
		chosen := m.us[roundsText(t, p, k.(kernel.ProductRows), x)]
		require.NotZero(t, chosen, "%s: %v was not measured", product, k)
		fastest := math.Inf(1)
		for _, us := range m.us {
			fastest = min(fastest, us)
		}
		t.Logf("%s: %.2f us, fastest of %d %.2f, one kernel twice within a factor of %.3f", product, chosen, len(m.us), fastest, m.again)
		require.LessOrEqual(t, chosen, m.again*fastest, "%s", product)
		require.Less(t, m.again, 1.1, "%s: times that say nothing", product)
	}
}

// roundsText is the columns of the file that say what k is.
func roundsText(t *testing.T, p *task.Product, k kernel.ProductRows, x *target.Target) string {
	t.Helper()
	d, same := p.SameFormat()
	require.True(t, same)
	r := task.Rounds{Product: p, Rows: k, Room: x.Limits.ThreadgroupBytes}
	held := r.Preloaded()
	return fmt.Sprintf("%d,%d,%d,%d,%d,%d,%d", k.PerTeam, k.Teams, k.Share, k.Simdgroups, r.Width(d), held, r.Ahead(d, k.Segment, held))
}

// Where simdgroups wait for others, a lane has all rounds of a staged vector on their way in
// formats that gain by it, and one in others and on GPUs where nobody measured it.
func TestChunksAhead(t *testing.T) {
	for _, c := range []struct {
		name, format string
		rows, cols   int
		held, ahead  int
	}{
		{"h200", "q4_k", 152064, 3584, 1, 6},
		{"h100", "q5_k", 152064, 3584, 1, 6},
		{"h200", "q5_k", 152064, 8192, 1, 5}, // fifteen left, no more than six at once
		{"h200", "q4_k", 151936, 1536, 1, 2},
		{"h200", "q4_0", 152064, 3584, 1, 6},
		{"h200", "q6_k", 152064, 3584, 1, 6},
		{"h200", "q8_0", 152064, 3584, 1, 3}, // six left, no more than five at once
		{"h200", "affine4_g64_bf16", 152064, 3584, 1, 1},
		{"h200", "q4_k", 4608, 3584, 4, 2}, // all run at once, with one row a team
		{"apple-m3-pro", "q4_k", 152064, 3584, 1, 1},
	} {
		x, err := target.Find(c.name)
		require.NoError(t, err)
		r := regionOf(t, x, fmt.Sprintf("%%x = input \"x\" : f32[1, %d]\n%%n = weight \"n\" : f32[%d]\n%%a = weight \"a\" : %s[%d, %d]", c.cols, c.cols, c.format, c.rows, c.cols),
			"%h = rms_norm %x, %n {eps=1e-06}\n%y = matmul_nt %h, %a", "y=%y")
		p, err := task.ProductOf(r)
		require.NoError(t, err)
		k := productRows(p, x, 0)
		w, err := dtype.ParseWeights(c.format)
		require.NoError(t, err)
		rounds := task.Rounds{Product: p, Rows: k, Room: x.Limits.ThreadgroupBytes}
		require.Equal(t, c.held, rounds.Preloaded(), "%+v: %v", c, k)
		require.Equal(t, c.ahead, rounds.Ahead(w, k.Segment, c.held), "%+v: %v", c, k)
	}
}
