package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"foundry/ir/names"
	"foundry/runtime"
	"foundry/runtime/bench"
)

// phaseText is a phase's time and what it was about.
func phaseText(p runtime.Phase) string {
	text := names.Duration(time.Duration(p.Seconds * float64(time.Second)))
	if p.Kernels > 0 {
		text += fmt.Sprintf(", %d kernels", p.Kernels)
		if strings.HasPrefix(p.Name, "compile") {
			text += fmt.Sprintf(" (%d cold, %d cached)", p.Fresh, p.Kernels-p.Fresh)
		}
	}
	if p.Bytes > 0 {
		text += fmt.Sprintf(", %s", names.Bytes(p.Bytes))
		if p.Bytes > 1e6 && p.Seconds > 0 {
			text += fmt.Sprintf(" at %s/s", names.Bytes(int64(float64(p.Bytes)/p.Seconds)))
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

// printStartups prints what the first variant took to start and, in one more column,
// the others together. They share its device and weights.
func printStartups(s IO, rows []bench.Row) {
	first := rows[0].Startup
	if len(first) == 0 {
		return
	}
	columns := []string{"phase", rows[0].Variant}
	others := sumPhases(first, rows[1:])
	if len(rows) > 1 {
		columns = append(columns, fmt.Sprintf("the other %d together", len(rows)-1))
	}
	t := newTable(columns...)
	for _, p := range others {
		cells := []any{p.Name, ""}
		if i := slices.IndexFunc(first, func(q runtime.Phase) bool { return q.Name == p.Name }); i >= 0 {
			cells[1] = phaseText(first[i])
		}
		switch {
		case len(rows) == 1:
		case p.Seconds == 0:
			cells = append(cells, "shared")
		default:
			cells = append(cells, phaseText(p))
		}
		t.row(cells...)
	}
	fmt.Fprintf(s.Out, "\nstart-up, once, before the runs (%s)\n", startupNote)
	t.render(s.Out)
}

// sumPhases adds up the phases of rows, by name, in the order of first's and then
// their own. A phase of the shared device is first's and not added again.
func sumPhases(first []runtime.Phase, rows []bench.Row) []runtime.Phase {
	var out []runtime.Phase
	at := map[string]int{}
	for _, p := range first {
		at[p.Name] = len(out)
		out = append(out, runtime.Phase{Name: p.Name})
	}
	for _, r := range rows {
		for _, p := range r.Startup {
			if slices.Contains(first, p) {
				continue
			}
			i, have := at[p.Name]
			if !have {
				i = len(out)
				at[p.Name] = i
				out = append(out, runtime.Phase{Name: p.Name})
			}
			out[i].Seconds += p.Seconds
			out[i].Kernels += p.Kernels
			out[i].Fresh += p.Fresh
			out[i].Bytes += p.Bytes
		}
	}
	return out
}

// shareColumns and shareCells are what a row adds where a GPU was measured: bytes
// for a token, operations for a prompt.
func shareColumns(r *bench.Row) []string {
	switch {
	case r.Machine == nil:
		return nil
	case r.Phase == "decode":
		return []string{"weights GB/s", "share of bandwidth"}
	}
	return []string{"TFLOP/s", "share of matmul", "share of bandwidth"}
}

func shareCells(r *bench.Row) []any {
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
func machineText(m *bench.Machine) string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("\nthis GPU, measured in this run: reads %.0f GB/s (%s at once); multiplies at %.0f TFLOP/s (%d x %d x %d, f16 weights, kernel %s)",
		m.ReadGBs, names.Bytes(m.ReadBytes), m.MatmulTFlops, m.MatmulShape[0], m.MatmulShape[1], m.MatmulShape[2], m.MatmulKernel)
}
