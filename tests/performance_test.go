package tests

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"foundry/ir/dtype"
)

var (
	updatePerformance = flag.Bool("update-performance", false, "rewrite the generated parts of docs/performance.md and its plot")
	measured          = flag.String("measured", "", "what scripts/nvidia.sh formats wrote: becomes a file of docs/measurements")
)

const (
	measurements = "../docs/measurements"
	formatsPlot  = measurements + "/formats.svg"
)

// measurement is a line of a file of docs/measurements.
type measurement struct {
	date, machine, driver, program, model, weights, phase, tokens, variant string
	us                                                                     float64
	share                                                                  float64 // of the bandwidth; 0 where it was not measured
}

var measurementColumns = []string{"date", "machine", "driver", "program", "model", "weights", "phase", "tokens", "variant", "us", "share"}

// TestPerformancePage holds the tables and the plot of docs/performance.md to the files of
// docs/measurements; -update-performance writes them.
func TestPerformancePage(t *testing.T) {
	if *measured != "" {
		importMeasurements(t, *measured)
	}
	all := readMeasurements(t)
	const file = "../docs/performance.md"
	page, err := os.ReadFile(file)
	require.NoError(t, err)
	have := page
	for name, table := range map[string]string{"decode": speedTable(t, all, "decode"), "prefill": speedTable(t, all, "prefill"), "formats": formatsTable(t, all), "products": productsTable(t)} {
		part := regexp.MustCompile(`(?s)(<!-- generated: ` + name + ` -->\n).*?(<!-- end -->)`)
		require.Len(t, part.FindAll(have, -1), 1, "the part %q of docs/performance.md", name)
		have = part.ReplaceAll(have, []byte("${1}\n"+strings.ReplaceAll(table, "$", "$$")+"\n${2}"))
	}
	picture := plotFormats(t, all)
	if *updatePerformance {
		require.NoError(t, os.WriteFile(file, have, 0o644))
		require.NoError(t, os.WriteFile(formatsPlot, picture, 0o644))
	}
	want, err := os.ReadFile(formatsPlot)
	require.NoError(t, err)
	page, err = os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(page), string(have), "docs/performance.md is stale; write it with -update-performance")
	require.True(t, bytes.Equal(want, picture), "%s is stale; write it with -update-performance", formatsPlot)
}

func readMeasurements(t *testing.T) (all []measurement) {
	t.Helper()
	files, err := filepath.Glob(measurements + "/*.csv")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		r := csv.NewReader(bytes.NewReader(text))
		r.Comment = '#'
		lines, err := r.ReadAll()
		require.NoError(t, err, name)
		require.Equal(t, measurementColumns, lines[0], name)
		for _, l := range lines[1:] {
			m := measurement{date: l[0], machine: l[1], driver: l[2], program: l[3], model: l[4], weights: l[5], phase: l[6], tokens: l[7], variant: l[8]}
			m.us, err = strconv.ParseFloat(l[9], 64)
			require.NoError(t, err, "%s: %v", name, l)
			if l[10] != "" {
				m.share, err = strconv.ParseFloat(l[10], 64)
				require.NoError(t, err, "%s: %v", name, l)
			}
			all = append(all, m)
		}
	}
	return all
}

// importMeasurements writes a file of docs/measurements from lines of foundry bench
// --json, each with the weights that it was given, behind a line that says where.
func importMeasurements(t *testing.T, from string) {
	t.Helper()
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var where struct{ Date, Machine, Driver, Read string }
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &where))
	var out, alone bytes.Buffer
	fmt.Fprintf(&alone, "# Products of a decode step, each kernel alone, behind 128 tokens: scripts/nvidia.sh formats, %s, driver %s, %s.\n", where.Machine, where.Driver, where.Date)
	rows := csv.NewWriter(&alone)
	require.NoError(t, rows.Write(measuredRowColumns))
	fmt.Fprintf(&out, "# scripts/nvidia.sh formats; medians, share is of reads measured in the same process.\n")
	w := csv.NewWriter(&out)
	require.NoError(t, w.Write(measurementColumns))
	for _, l := range lines[1:] {
		var r struct {
			Weights, Model, Phase, Variant string
			Prompt                         int
			Measured                       struct{ Median float64 } `json:"measured_us"`
			Share                          *float64                 `json:"bandwidth_share"`
			Kernels                        []struct {
				Kernel string
				Us     float64
				Bytes  int64
			}
			Machine struct {
				ReadGBs float64 `json:"read_gb_s"`
			}
		}
		require.NoError(t, json.Unmarshal([]byte(l), &r), l)
		require.NotZero(t, r.Measured.Median, l)
		share := ""
		if r.Share != nil && r.Phase == "decode" {
			share = strconv.FormatFloat(*r.Share, 'f', 3, 64)
		}
		model := r.Model[strings.LastIndex(r.Model, "-")+1:]
		require.NoError(t, w.Write([]string{where.Date, where.Machine, where.Driver, "foundry", model, r.Weights, r.Phase, strconv.Itoa(r.Prompt), r.Variant,
			strconv.FormatFloat(r.Measured.Median, 'f', 1, 64), share}))
		for _, k := range r.Kernels {
			if r.Phase == "decode" && r.Variant == "fewest" && productOf(k.Kernel) != "" {
				require.NoError(t, rows.Write([]string{model, r.Weights, k.Kernel, strconv.FormatInt(k.Bytes, 10), strconv.FormatFloat(k.Us, 'f', 2, 64),
					strconv.FormatFloat(r.Machine.ReadGBs, 'f', 0, 64)}))
			}
		}
	}
	rows.Flush()
	require.NoError(t, os.WriteFile(measuredRows, alone.Bytes(), 0o644))
	w.Flush()
	name := strings.ToLower(strings.Fields(strings.TrimPrefix(where.Machine, "NVIDIA "))[0]) + "-" + where.Date + ".csv"
	require.NoError(t, os.WriteFile(filepath.Join(measurements, name), out.Bytes(), 0o644))
}

// latest is the fastest variant of the last day on which a row was measured.
func latest(all []measurement, machine, program, model, weights, phase string) (best measurement, ok bool) {
	for _, m := range all {
		if !strings.Contains(m.machine, machine) || m.program != program || m.model != model || m.weights != weights || m.phase != phase {
			continue
		}
		if !ok || m.date > best.date || m.date == best.date && m.us < best.us {
			best, ok = m, true
		}
	}
	return best, ok
}

// rowsOf lists model and weights of what was measured in a phase, larger models first,
// more bits first.
func rowsOf(t *testing.T, all []measurement, phase string) (rows [][2]string) {
	for _, m := range all {
		if row := [2]string{m.model, m.weights}; m.phase == phase && m.program == "foundry" && !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
	}
	size := func(model string) float64 {
		v, err := strconv.ParseFloat(strings.TrimSuffix(model, "b"), 64)
		require.NoError(t, err, model)
		return v
	}
	slices.SortFunc(rows, func(a, b [2]string) int {
		return cmp.Or(cmp.Compare(size(b[0]), size(a[0])), cmp.Compare(bits(t, b[1]), bits(t, a[1])), cmp.Compare(a[1], b[1]))
	})
	return rows
}

// bits is the bits a weight of a format takes, scales included.
func bits(t *testing.T, weights string) float64 {
	d, err := dtype.Parse(weights)
	require.NoError(t, err)
	elems, bytes := d.Block()
	return 8 * float64(bytes) / float64(elems)
}

// speedTable is what was measured in a phase on each machine, beside llama.cpp.
func speedTable(t *testing.T, all []measurement, phase string) string {
	var b strings.Builder
	tokens, unit := 1.0, "share of its bandwidth"
	if phase == "prefill" {
		tokens, unit = 512, "time to f16"
	}
	fmt.Fprintf(&b, "| model | weights | H100, tok/s | %[1]s | H200, tok/s | %[1]s | llama.cpp, H100, tok/s |\n|---|---|---:|---:|---:|---:|---:|\n", unit)
	for _, row := range rowsOf(t, all, phase) {
		fmt.Fprintf(&b, "| %s | %s |", row[0], row[1])
		for _, x := range [][2]string{{"H100", "foundry"}, {"H200", "foundry"}, {"H100", "llama.cpp"}} {
			m, ok := latest(all, x[0], x[1], row[0], row[1], phase)
			rate, beside := "", ""
			if ok {
				rate = thousands(tokens / m.us * 1e6)
			}
			if phase == "decode" && m.share > 0 {
				beside = fmt.Sprintf("%.0f %%", 100*m.share)
			}
			if f16, there := latest(all, x[0], x[1], row[0], "f16", phase); phase == "prefill" && ok && there && f16.date == m.date {
				beside = fmt.Sprintf("%.2f", m.us/f16.us)
			}
			if fmt.Fprintf(&b, " %s |", rate); x[1] == "foundry" {
				fmt.Fprintf(&b, " %s |", beside)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// thousands prints a whole number with commas.
func thousands(v float64) string {
	s := strconv.Itoa(int(math.Round(v)))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// weightError is the mean square error that a format makes of normal weights, relative to
// their mean square.
func weightError(t *testing.T, weights string) float64 {
	d, err := dtype.Parse(weights)
	require.NoError(t, err)
	const n = 1 << 16
	x, back := make([]float32, n), make([]float32, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	if !d.Float() {
		blocks := make([]byte, d.Bytes(n))
		dtype.Quantise(d, x, blocks)
		dtype.Dequantise(d, blocks, back)
	} else {
		for i, v := range x {
			back[i] = dtype.F16ToF32(dtype.F32ToF16(v))
		}
	}
	var off, all float64
	for i, v := range x {
		e := float64(back[i]) - float64(v)
		off, all = off+e*e, all+float64(v)*float64(v)
	}
	return off / all
}

// divergence is a format's mean KL(f32, format) in docs/quality.md.
func divergence(t *testing.T, weights string) string {
	d, err := dtype.Parse(weights)
	require.NoError(t, err)
	text, err := os.ReadFile("../docs/quality.md")
	require.NoError(t, err)
	m := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(d.String()) + ` \|[^|]*\|[^|]*\|[^|]*\| *([0-9.e-]+) *\|`).FindSubmatch(text)
	if m == nil {
		return ""
	}
	return string(m[1])
}

// h100GBs is what one H100 reads (docs/performance.md).
const h100GBs = 3155

// productsTable is each product of a decode step at 7b as a share of the bandwidth that was
// measured beside it, and as the share that an H100, which has the same cores and less
// bandwidth, cannot exceed.
func productsTable(t *testing.T) string {
	columns := []string{"gate_up", "resid_mlp", "lm_head", "qkv", "resid_attn"}
	byFormat, formats := map[string]map[string]measuredRow{}, []string{}
	for _, m := range readMeasuredRows(t) {
		if m.model != "7b" {
			continue
		}
		if byFormat[m.weights] == nil {
			byFormat[m.weights] = map[string]measuredRow{}
			formats = append(formats, m.weights)
		}
		byFormat[m.weights][productOf(m.kernel)] = m
	}
	slices.SortFunc(formats, func(a, b string) int { return cmp.Or(cmp.Compare(bits(t, b), bits(t, a)), cmp.Compare(a, b)) })
	var b strings.Builder
	b.WriteString("| weights | gate and up | down | head | QKV | o | an H100's at most: gate and up | down | head |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, format := range formats {
		fmt.Fprintf(&b, "| %s |", format)
		for _, c := range columns {
			if m, ok := byFormat[format][c]; ok {
				fmt.Fprintf(&b, " %.1f us, %.0f %% |", m.us, 100*m.bytes/m.us/1e3/m.readGBs)
			} else {
				b.WriteString(" |")
			}
		}
		for _, c := range columns[:3] {
			m := byFormat[format][c]
			fmt.Fprintf(&b, " %.0f %% |", 100*min(1, m.bytes/m.us/1e3/h100GBs))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// formatsTable is what a person chooses a format by.
func formatsTable(t *testing.T, all []measurement) string {
	var b strings.Builder
	b.WriteString("| weights | bits a weight | error of normal weights | KL on kjv-2m | 7b, H200: decode, tok/s | prefill, tok/s |\n|---|---:|---:|---:|---:|---:|\n")
	for _, row := range rowsOf(t, all, "decode") {
		if row[0] != "7b" {
			continue
		}
		decode, _ := latest(all, "H200", "foundry", "7b", row[1], "decode")
		prefill := ""
		if m, ok := latest(all, "H200", "foundry", "7b", row[1], "prefill"); ok {
			prefill = thousands(512 / m.us * 1e6)
		}
		fmt.Fprintf(&b, "| %s | %.4g | %.1e | %s | %s | %s |\n", row[1], bits(t, row[1]), weightError(t, row[1]), divergence(t, row[1]), thousands(1e6/decode.us), prefill)
	}
	return b.String()
}

// plotFormats draws what a format is chosen by: decode at 7b against the error that the
// format makes of weights, beside what its bytes allow.
func plotFormats(t *testing.T, all []measurement) []byte {
	p := plot.New()
	p.Title.Text = "Qwen2.5-7B, decode on one H200: quality and speed (bits a weight)"
	p.X.Label.Text, p.Y.Label.Text = "mean square error of normal weights, to their own (left is better)", "tokens a second (up is better)"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: 0}
	p.Y.Min = 0
	f16, ok := latest(all, "H200", "foundry", "7b", "f16", "decode")
	require.True(t, ok)
	var points, allowed plotter.XYs
	var names []string
	for _, row := range rowsOf(t, all, "decode") {
		if m, ok := latest(all, "H200", "foundry", "7b", row[1], "decode"); ok && row[0] == "7b" {
			x, b := weightError(t, row[1]), bits(t, row[1])
			points, allowed = append(points, plotter.XY{X: x, Y: 1e6 / m.us}), append(allowed, plotter.XY{X: x, Y: 1e6 / (f16.us * f16.share * b / 16)})
			names = append(names, fmt.Sprintf("%s (%.3g)", strings.TrimSuffix(row[1], "_g64_bf16"), b))
			p.X.Min, p.X.Max = min(cmp.Or(p.X.Min, x), x/2), max(p.X.Max, 20*x) // room for names
			p.Y.Max = max(p.Y.Max, 1.1*allowed[len(allowed)-1].Y)
		}
	}
	dots, err := plotter.NewScatter(points)
	require.NoError(t, err)
	dots.GlyphStyle = draw.GlyphStyle{Color: color.RGBA{R: 30, G: 90, B: 170, A: 255}, Radius: vg.Points(3.5), Shape: draw.CircleGlyph{}}
	rings, err := plotter.NewScatter(allowed)
	require.NoError(t, err)
	rings.GlyphStyle = draw.GlyphStyle{Color: color.Gray{Y: 150}, Radius: vg.Points(3.5), Shape: draw.RingGlyph{}}
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: apart(points, p.Y.Max/22), Labels: names})
	require.NoError(t, err)
	labels.Offset = vg.Point{X: vg.Points(6), Y: vg.Points(-3)}
	p.Add(plotter.NewGrid(), rings, dots, labels)
	p.Legend.Add("measured", dots)
	p.Legend.Add("what its bytes allow", rings)
	p.Legend.Top, p.Legend.Left = true, true
	p.Title.TextStyle.Font.Size = vg.Points(11)
	w, err := p.WriterTo(16*vg.Centimeter, 10*vg.Centimeter, "svg")
	require.NoError(t, err)
	var out strings.Builder
	_, err = w.WriteTo(&out)
	require.NoError(t, err)
	return []byte(out.String())
}

// apart is where the names of points stand: beside them, or so far below the name of a
// faster point, where that is near.
func apart(points plotter.XYs, step float64) plotter.XYs {
	out := slices.Clone(points)
	order := make([]int, len(points))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(points[b].Y, points[a].Y) })
	for at, i := range order {
		for _, j := range order[:at] {
			if near := math.Abs(math.Log10(points[i].X / points[j].X)); near < 1 && out[i].Y > out[j].Y-step {
				out[i].Y = out[j].Y - step
			}
		}
	}
	return out
}
