package cli

import (
	"fmt"
	"io"

	"foundry"
	"foundry/runtime/cpu"

	"github.com/spf13/cobra"
)

// search replaces --passes search by the pipeline that is found; nil where it was
// not asked for.
func (f *compileFlags) search(cmd *cobra.Command, s IO, m *foundry.Model, o *foundry.CompileOptions) (*foundry.Found, error) {
	if o.Passes != foundry.SearchPasses {
		return nil, nil
	}
	found, err := foundry.Search(cmd.Context(), m, foundry.SearchOptions{
		Compile: *o, CPU: cpu.Options{CXX: s.Env("CXX")}, Progress: progress(s.Err), Say: func(line string) { fmt.Fprintln(s.Err, line) },
	})
	if err != nil {
		return nil, err
	}
	o.Passes = found.Winner.Passes
	return found, nil
}

// printFound prints what a search tried and how it ranked that.
func printFound(w io.Writer, f *foundry.Found) {
	fmt.Fprintf(w, "== %s\n", f)
	t := newTable("fusions", "predicted us", "measured us", "min", "max", "runs").alignRight("predicted us", "measured us", "min", "max", "runs")
	for _, c := range f.Candidates {
		name := c.Name
		if c.Name == f.Winner.Name {
			name += " (taken)"
		}
		if c.Measured == nil {
			t.row(name, fmt.Sprintf("%.1f", c.PredictedUs), "", "", "", "")
			continue
		}
		t.row(name, fmt.Sprintf("%.1f", c.PredictedUs), fmt.Sprintf("%.1f", c.Measured.Median), fmt.Sprintf("%.1f", c.Measured.Min), fmt.Sprintf("%.1f", c.Measured.Max), c.Measured.N)
	}
	t.render(w)
}
