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
	for name, table := range map[string]string{"decode": speedTable(t, all, "decode"), "prefill": speedTable(t, all, "prefill"), "formats": formatsTable(t, all)} {
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
	var out bytes.Buffer
	fmt.Fprintf(&out, "# scripts/nvidia.sh formats; medians, share is of reads measured in the same process.\n")
	w := csv.NewWriter(&out)
	require.NoError(t, w.Write(measurementColumns))
	for _, l := range lines[1:] {
		var r struct {
			Weights, Model, Phase, Variant string
			Prompt                         int
			Measured                       struct{ Median float64 } `json:"measured_us"`
			Share                          *float64                 `json:"bandwidth_share"`
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
	}
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

// plotFormats draws decode at 7b against bits a weight, beside what the bytes allow.
func plotFormats(t *testing.T, all []measurement) []byte {
	p := plot.New()
	p.Title.Text = "Qwen2.5-7B, decode on one H200: speed by bits a weight"
	p.X.Label.Text, p.Y.Label.Text = "bits a weight", "tokens a second"
	p.X.Min, p.X.Max, p.Y.Min = 0, 17, 0
	var points plotter.XYs
	var names []string
	for _, row := range rowsOf(t, all, "decode") {
		if m, ok := latest(all, "H200", "foundry", "7b", row[1], "decode"); ok && row[0] == "7b" {
			points, names = append(points, plotter.XY{X: bits(t, row[1]), Y: 1e6 / m.us}), append(names, row[1])
		}
	}
	dots, err := plotter.NewScatter(points)
	require.NoError(t, err)
	dots.GlyphStyle = draw.GlyphStyle{Color: color.RGBA{R: 30, G: 90, B: 170, A: 255}, Radius: vg.Points(3.5), Shape: draw.CircleGlyph{}}
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: points, Labels: names})
	require.NoError(t, err)
	labels.Offset = vg.Point{X: vg.Points(6), Y: vg.Points(-3)}
	f16, ok := latest(all, "H200", "foundry", "7b", "f16", "decode")
	require.True(t, ok)
	floor := plotter.NewFunction(func(x float64) float64 { return 1e6 / (f16.us * f16.share * x / 16) })
	floor.XMin, floor.XMax, floor.Samples = 4.5, 16, 100
	floor.Color = color.Gray{Y: 150}
	p.Add(plotter.NewGrid(), floor, dots, labels)
	p.Legend.Add("what the bytes allow", floor)
	p.Legend.Top = true
	p.Y.Max = 1e6 / (f16.us * f16.share * 4.5 / 16) * 1.05
	w, err := p.WriterTo(16*vg.Centimeter, 10*vg.Centimeter, "svg")
	require.NoError(t, err)
	var out bytes.Buffer
	_, err = w.WriteTo(&out)
	require.NoError(t, err)
	return out.Bytes()
}
