package target_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/target"
)

// chips are Apple's pages of technical specifications, chip by chip: GPU cores and memory
// bandwidth as published, the memory's bus in bits and its million transfers a second, and
// the system-level cache in MB as teardowns count it.
var chips = []struct {
	name                                   string
	cores, gbs, bits, transfers, cacheSize int
}{
	{"apple-m1", 8, 68, 128, 4266, 8},
	{"apple-m1-pro", 16, 200, 256, 6400, 24},
	{"apple-m1-max", 32, 400, 512, 6400, 48},
	{"apple-m1-ultra", 64, 800, 1024, 6400, 96},
	{"apple-m2", 10, 100, 128, 6400, 8},
	{"apple-m2-pro", 19, 200, 256, 6400, 24},
	{"apple-m2-max", 38, 400, 512, 6400, 48},
	{"apple-m2-ultra", 76, 800, 1024, 6400, 96},
	{"apple-m3", 10, 100, 128, 6400, 8},
	{"apple-m3-pro", 18, 150, 192, 6400, 12},
	{"apple-m3-max-30", 30, 300, 384, 6400, 48},
	{"apple-m3-max", 40, 400, 512, 6400, 48},
	{"apple-m3-ultra", 80, 819, 1024, 6400, 96},
	{"apple-m4", 10, 120, 128, 7500, 8},
	{"apple-m4-pro", 20, 273, 256, 8533, 24},
	{"apple-m4-max-32", 32, 410, 384, 8533, 48},
	{"apple-m4-max", 40, 546, 512, 8533, 48},
	{"apple-m5", 10, 153, 128, 9600, 8},
	{"apple-m5-pro", 20, 307, 256, 9600, 24},
	{"apple-m5-max-32", 32, 460, 384, 9600, 48},
	{"apple-m5-max", 40, 614, 512, 9600, 48},
	{"apple-a19", 5, 68, 64, 8533, 12},
	{"apple-a19-pro", 6, 77, 64, 9600, 32},
}

// What is published of each chip stands in the table, and the bandwidth is what the bus can
// carry, which Apple rounds by up to 3 %.
func TestApplesAsPublished(t *testing.T) {
	all := target.All()
	for i, c := range chips {
		x := all[i]
		require.Equal(t, c.name, x.Name)
		require.Equal(t, c.cores, x.Cores, c.name)
		require.Equal(t, float64(c.gbs), x.BandwidthGBs, c.name)
		require.InEpsilon(t, float64(c.bits*c.transfers)/8e3, x.BandwidthGBs, 0.03, c.name)
		require.EqualValues(t, c.cacheSize*1024*1024, x.CacheBytes, c.name)
		require.Equal(t, c.name[:8] == "apple-m5" || c.name[:8] == "apple-a1", x.MatrixTFlops > 0, "%s has matrix units", c.name)
	}
	require.Equal(t, "h100", all[len(chips)].Name)
}

// Rates of multiplications are those that Apple publishes, TFLOP/s in f32, which its clocks
// are known to by 3 %: half of it are additions, each lane answers to four bytes of the cache.
func TestRatesOfApples(t *testing.T) {
	for name, tflops := range map[string]float64{"apple-m1": 2.6, "apple-m1-pro": 5.2, "apple-m1-max": 10.4, "apple-m1-ultra": 20.8,
		"apple-m2": 3.6, "apple-m2-pro": 6.8, "apple-m2-max": 13.6, "apple-m2-ultra": 27.2} {
		x := find(t, name)
		require.InEpsilon(t, tflops, x.TFlops, 0.03, name)
		require.Equal(t, x.TFlops, x.TileTFlops, name)
	}
	for _, x := range target.All() {
		if x.Family == "apple" { // two operations a lane and cycle, and a byte, in billions
			require.InEpsilon(t, 2*x.CacheGBs/1e3, x.TFlops, 1e-12, x.Name)
		}
	}
	require.InEpsilon(t, 7.5, find(t, "apple-a19").MatrixTFlops, 0.005, "measured, see matrixFlops")
	page, err := os.ReadFile("../../docs/metal.md")
	require.NoError(t, err)
	rows := regexp.MustCompile(`(?m)^\| (apple-m5\S*) \| ([\d.]+) \|`).FindAllStringSubmatch(string(page), -1)
	require.Len(t, rows, 3, "rows of the table of matrix units")
	for _, row := range rows {
		want, err := strconv.ParseFloat(row[2], 64)
		require.NoError(t, err)
		require.InDelta(t, want, find(t, row[1]).MatrixTFlops, 0.05, row[1])
	}
}

// What a note says was measured stands in the fields.
func TestNotesAndNumbers(t *testing.T) {
	number := func(x *target.Target, pattern string) float64 {
		m := regexp.MustCompile(pattern).FindStringSubmatch(x.Note)
		require.NotNil(t, m, "%s: %s", x.Name, x.Note)
		n, err := strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
		require.NoError(t, err)
		return n
	}
	m3 := find(t, "apple-m3-pro")
	require.InDelta(t, number(m3, `a wave .* ([\d.]+) us;`), m3.DispatchUs+m3.WaveUs, 1e-9)
	require.Equal(t, number(m3, `command buffer ([\d.]+) us`), m3.CommandBufferUs)
	h100, h200 := find(t, "h100"), find(t, "h200")
	require.Equal(t, number(h100, `at ([\d,]+) GB/s`), h100.BandwidthGBs)
	require.Equal(t, number(h200, `at ([\d,]+) GB/s`), h200.BandwidthGBs)
	require.InDelta(t, number(h100, `([\d.]+) us a kernel`), h100.DispatchUs+h100.WaveUs, 1e-9)
	for small, whole := range map[string]*target.Target{"h100-32k": h100, "h200-32k": h200} {
		x := find(t, small)
		require.Equal(t, x.Limits.ThreadgroupBytes, x.Limits.MatrixBytes, "what Metal has")
		require.Equal(t, 4, x.MatrixGroup, "one warpgroup")
		require.Equal(t, whole.BandwidthGBs, x.BandwidthGBs)
	}
}

// What a core and a kernel have is what the makers' tables say: Metal's of features, of limits
// of every Apple GPU; CUDA's of compute capability 9.0, and the machine on which cpu was fitted.
func TestCoresAndLimits(t *testing.T) {
	for name, x := range map[string]*target.Target{"apple-m3-pro": find(t, "apple-m3-pro"), "h200": find(t, "h200"), "cpu": find(t, "cpu")} {
		l := x.Limits
		require.Equal(t, []int{31, 1024, 32768, 16, 32, 256}, []int{l.Slots, l.Threads, l.ThreadgroupBytes, l.ThreadgroupAlign, l.SIMDWidth, l.ConstantAlign}, name)
		want := map[string][]int{
			// 208 KB of registers; blocks as Apple's and llama.cpp's kernels have them.
			"apple-m3-pro": {1024, 32, 128, 32, 2, 60 * 1024, 208 * 1024 / 4, 32, 4, 0, 32 * 1024},
			// 64 K registers, 227 KB and 2,048 threads; two warpgroups of four warps, 64 rows each.
			"h200": {2048, 96, 128, 128, 8, 227 * 1024, 65536, 64, 8, 128, 227 * 1024},
			// A lane's simdgroup keeps a core busy; x86 has lines of 64 bytes.
			"cpu": {64, 32, 64, 32, 2, 65536, 65536, 0, 0, 0, 32 * 1024},
		}[name]
		require.Equal(t, want, []int{x.CoreThreads, x.LoadAhead, x.LineBytes, x.TileFloats, x.CopyStages, x.CoreBytes, x.CoreFloats, x.MatrixRows, x.MatrixGroup, x.MatrixFloats, l.MatrixBytes}, name)
	}
	m5 := find(t, "apple-m5")
	require.Equal(t, []int{64, 64}, []int{m5.MatrixFloats, m5.MatrixHead})
	require.Equal(t, 120.0, m5.SubmitUs)
	h200 := find(t, "h200")
	require.Equal(t, 132, h200.Cores, "multiprocessors of the SXM5 boards")
	require.EqualValues(t, 50*1024*1024, h200.CacheBytes)
	require.Equal(t, []float64{10000, 60, 400, 620}, []float64{h200.CacheGBs, h200.TFlops, h200.TileTFlops, h200.MatrixTFlops})
	require.Equal(t, []float64{529, 5, 0, 8, 8}, []float64{h200.ExpandThreads, h200.CommandBufferUs, h200.EncodeUs, h200.SubmitUs, h200.SlotNs})
	cpu := find(t, "cpu")
	require.EqualValues(t, 32*1024*1024, cpu.CacheBytes)
	require.Equal(t, []float64{2, 12, 60, 15, 2, 5}, []float64{float64(cpu.Cores), cpu.BandwidthGBs, cpu.CacheGBs, cpu.ExchangeNs, cpu.CommandBufferUs, cpu.SubmitUs})
}

// The issue of a weight is what was counted in machine code.
func TestSlotsAsCounted(t *testing.T) {
	raw, err := os.ReadFile("../cost/testdata/slots-sm90.csv")
	require.NoError(t, err)
	counted := map[string]float64{}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Split(line, ","); !strings.HasPrefix(line, "#") && f[0] != "format" {
			counted[f[0]], err = strconv.ParseFloat(f[5], 64)
			require.NoError(t, err)
		}
	}
	require.Equal(t, counted, find(t, "h100").Slots)
}

func find(t *testing.T, name string) *target.Target {
	t.Helper()
	x, err := target.Find(name)
	require.NoError(t, err)
	return x
}
