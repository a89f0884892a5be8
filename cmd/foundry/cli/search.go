package cli

import (
	"fmt"
	"io"

	"foundry"
	"foundry/lower/compile"
	"foundry/runtime/search"

	"github.com/spf13/cobra"
)

// search replaces --passes search by the pipeline that is found; nil where it was
// not asked for.
func (f *compileFlags) search(cmd *cobra.Command, s IO, m *foundry.Model, o *foundry.CompileOptions) (*search.Found, error) {
	if o.Passes != compile.SearchPasses {
		return nil, nil
	}
	found, err := search.Run(cmd.Context(), m, search.Options{
		Compile: *o, CPU: f.trust.options(s, cpuFlags{}), Progress: progress(s.Err), Say: func(line string) { fmt.Fprintln(s.Err, line) },
	})
	if err != nil {
		return nil, err
	}
	found.Apply(o)
	return found, nil
}

// printFound prints what a search tried and how it ranked that, for both phases.
func printFound(w io.Writer, f *search.Found) {
	fmt.Fprintf(w, "== %s\n", f)
	columns := []string{"fusions", "predicted, " + f.Phase}
	if f.Other != nil {
		columns = append(columns, "predicted, "+f.OtherPhase)
	}
	columns = append(columns, "measured", "min", "max", "runs")
	t := newTable(columns...).alignRight(columns[1:]...)
	for _, c := range f.Candidates {
		name := c.Name
		switch other := f.Other != nil && c.Name == f.Other.Name; {
		case c.Name == f.Winner.Name && (other || f.Other == nil):
			name += " (taken)"
		case c.Name == f.Winner.Name:
			name += " (taken for " + f.Phase + ")"
		case other:
			name += " (taken for " + f.OtherPhase + ")"
		}
		cells := []any{name, usText(c.PredictedUs)}
		if f.Other != nil {
			cells = append(cells, usText(c.OtherUs))
		}
		if m := c.Measured; m != nil {
			cells = append(cells, usText(m.Median), usText(m.Min), usText(m.Max), m.N)
		} else {
			cells = append(cells, "", "", "", "")
		}
		t.row(cells...)
	}
	t.render(w)
}
