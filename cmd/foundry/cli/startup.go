package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"foundry"
	"foundry/runtime"
)

// phaseText is a phase's time and what it was about.
func phaseText(p runtime.Phase) string {
	text := fmt.Sprintf("%.0f ms", 1e3*p.Seconds)
	if p.Seconds < 0.01 {
		text = fmt.Sprintf("%.2f ms", 1e3*p.Seconds)
	}
	if p.Kernels > 0 {
		text += fmt.Sprintf(", %d kernels", p.Kernels)
		if strings.HasPrefix(p.Name, "compile") {
			text += fmt.Sprintf(" (%d cold, %d cached)", p.Fresh, p.Kernels-p.Fresh)
		}
	}
	if p.Bytes > 0 {
		text += fmt.Sprintf(", %s", bytesText(p.Bytes))
		if p.Seconds > 0 {
			text += fmt.Sprintf(" at %.2f GB/s", float64(p.Bytes)/p.Seconds/1e9)
		}
	}
	return text
}

// startupNote says how the phases add up.
const startupNote = "reading and converting overlaps the upload, each counts the time in which it was under way"

// printStartup prints a line a phase.
func printStartup(w io.Writer, phases []runtime.Phase) {
	if len(phases) == 0 {
		return
	}
	fmt.Fprintf(w, "start-up, once, before the first run (%s)\n", startupNote)
	t := newTable("phase", "took")
	for _, p := range phases {
		t.row(p.Name, phaseText(p))
	}
	t.render(w)
}

// printStartups prints each variant's start-up: a column a variant, at most six of
// them side by side.
func printStartups(s IO, rows []foundry.BenchRow) {
	for some := range slices.Chunk(rows, 6) {
		if len(some[0].Startup) == 0 {
			return
		}
		columns := []string{"phase"}
		for _, r := range some {
			columns = append(columns, r.Variant)
		}
		t := newTable(columns...)
		for _, p := range some[0].Startup {
			cells := []any{p.Name}
			for _, r := range some {
				text := "nothing: shared"
				if i := slices.IndexFunc(r.Startup, func(q runtime.Phase) bool { return q.Name == p.Name }); i >= 0 {
					text = phaseText(r.Startup[i])
				}
				cells = append(cells, text)
			}
			t.row(cells...)
		}
		fmt.Fprintf(s.Out, "\nstart-up, once, before the runs (%s)\n", startupNote)
		t.render(s.Out)
	}
}

// shareColumns and shareCells are what a row adds where a GPU was measured: bytes
// for a token, operations for a prompt.
func shareColumns(r *foundry.BenchRow) []string {
	switch {
	case r.Machine == nil:
		return nil
	case r.Phase == "decode":
		return []string{"weights GB/s", "share of bandwidth"}
	}
	return []string{"TFLOP/s", "share of matmul", "share of bandwidth"}
}

func shareCells(r *foundry.BenchRow) []any {
	percent := func(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }
	switch {
	case r.Machine == nil:
		return nil
	case r.Phase == "decode":
		return []any{fmt.Sprintf("%.0f", float64(r.WeightBytes)/r.Measured.Median/1e3), percent(*r.BandwidthShare)}
	}
	return []any{fmt.Sprintf("%.0f", float64(r.Flops)/r.Measured.Median/1e6), percent(*r.MatmulShare), percent(*r.BandwidthShare)}
}

// machineText says what shares are of.
func machineText(m *foundry.Machine) string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("\nthis GPU, measured in this run: reads %.0f GB/s (%.1f GB at once); multiplies at %.0f TFLOP/s (%d x %d x %d, f16 weights, kernel %s)",
		m.ReadGBs, float64(m.ReadBytes)/1e9, m.MatmulTFlops, m.MatmulShape[0], m.MatmulShape[1], m.MatmulShape[2], m.MatmulKernel)
}
