package cli

import (
	"encoding/json"
	"fmt"

	"foundry"
	"foundry/runtime/eval"

	"github.com/spf13/cobra"
)

// graphFlags say on what a .fir graph is run.
type graphFlags struct {
	inputs         string
	tokens, cached int64
	seed           uint64
}

func (f *graphFlags) add(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringVar(&f.inputs, "inputs", "", "of a .fir graph: safetensors file with its inputs by name (seeded when not given)")
	p.Int64Var(&f.tokens, "tokens", 0, "of a .fir graph: the value of T (the most it allows)")
	p.Int64Var(&f.cached, "cached", 0, "of a .fir graph: the value of P")
	p.Uint64Var(&f.seed, "seed", 1, "of a .fir graph: seed of what --inputs does not give")
}

func (f *graphFlags) run(cmd *cobra.Command, s IO, m *foundry.Model, c *compileFlags, d *deviceFlags, out *outputFile, asJSON bool) error {
	if err := d.check(cmd); err != nil {
		return err
	}
	o, err := c.options(cmd, s)
	if err != nil {
		return err
	}
	host := d.options(cmd, s)
	host.FewRuns = true
	r, err := eval.RunGraph(cmd.Context(), m, eval.GraphOptions{
		Device: d.device, Compile: o, CPU: host,
		T: f.tokens, P: f.cached, Inputs: f.inputs, Seed: f.seed,
		Say: func(line string) { fmt.Fprintln(s.Err, line) },
	})
	if err != nil {
		return err
	}
	if err := out.finish(r.Write); err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(s.Out).Encode(r)
	}
	fmt.Fprintf(s.Out, "%s on %s, T=%d, P=%d\n", r.Model, r.Device, r.T, r.P)
	t := newTable("result", "dtype", "shape", "mean", "rms", "min", "max").alignRight("mean", "rms", "min", "max")
	for _, x := range r.Results {
		t.row(x.Name, x.DType, fmt.Sprint(x.Shape), fmt.Sprintf("%.6g", x.Mean), fmt.Sprintf("%.6g", x.RMS), fmt.Sprintf("%.6g", x.Min), fmt.Sprintf("%.6g", x.Max))
	}
	t.render(s.Out)
	return nil
}
