package cost

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/kernel"
	"foundry/ir/target"
)

// Of all deals of short products in testdata/deals-h200.csv the model takes one that is nearly as
// fast as the fastest. One kernel measured twice there differs by a tenth.
func TestDealsAsMeasured(t *testing.T) {
	x, err := target.Find("h200")
	require.NoError(t, err)
	us := map[string]map[string]float64{}
	for _, l := range measured(t, "deals-h200.csv") {
		product := strings.Join(l[:4], " ")
		if us[product] == nil {
			us[product] = map[string]float64{}
		}
		v, err := strconv.ParseFloat(l[9], 64)
		require.NoError(t, err)
		if k := strings.Join(l[4:9], " "); us[product][k] == 0 || v < us[product][k] {
			us[product][k] = v
		}
	}
	require.Len(t, us, 9)
	for product, deals := range us {
		var name string
		var rows, cols, squares int
		_, err := fmt.Sscan(product, &name, &rows, &cols, &squares)
		require.NoError(t, err)
		decl := fmt.Sprintf("%%x = input \"x\" : f32[1, %d]\n%%r = input \"r\" : f32[1, %d]\n%%a = weight \"a\" : q4_0[%d, %d]", cols, rows, rows, cols)
		text, results := fmt.Sprintf("%%m = matmul_nt %%x, %%a\n%%y = add %%m, %%r\n%%s = sum_squares %%y {size=%d}", squares), "y=%y, s=%s"
		if name == "qkv" { // two rows of which stay together, as a gate and its up do
			decl = fmt.Sprintf("%%x = input \"x\" : f32[1, %d]\n%%n = weight \"n\" : f32[%d]\n%%a = weight \"a\" : q4_0[%d, %d]\n%%b = weight \"b\" : q4_0[%d, %d]", cols, cols, rows/2, cols, rows/2, cols)
			text, results = "%h = rms_norm %x, %n {eps=1e-06}\n%g = matmul_nt %h, %a\n%u = matmul_nt %h, %b\n%z = silu %g\n%y = mul %z, %u", "y=%y"
		}
		chosen, err := Choose(regionOf(t, x, decl, text, results), x)
		require.NoError(t, err)
		k := chosen.(kernel.ProductRows)
		got := deals[fmt.Sprint(k.PerTeam, k.Teams, k.Share, k.Simdgroups, k.Width)]
		require.NotZero(t, got, "%s: %v was not measured", product, k)
		fastest := math.Inf(1)
		for _, v := range deals {
			fastest = min(fastest, v)
		}
		t.Logf("%s: %.2f us, fastest of %d %.2f, by %v", product, got, len(deals), fastest, k)
		require.LessOrEqual(t, got, 1.1*fastest, "%s by %v", product, k)
	}
}
