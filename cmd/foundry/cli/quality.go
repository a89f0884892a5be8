package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"foundry"
	"foundry/ir/dtype"
	"foundry/ir/names"
	"foundry/runtime/cpu"
	"foundry/runtime/engine"
	"foundry/runtime/eval"

	"github.com/spf13/cobra"
)

var qualityFormats = []string{"table", "markdown", "json"}

func qualityCommand(s IO) *cobra.Command {
	var model modelFlags
	var ids idsFlags
	var weights, device, format string
	cmd := &cobra.Command{
		Use:   "quality",
		Short: "Measure what quantised weights change, against f32 on a text",
		Long: `The text runs with f32 matrices and with each format. Printed are, over the
logits behind every token: NMSE, the divergence of the next token's distribution
in both directions and at its worst position (nats), and the share of positions
whose most likely token is the same.`,
		Example: `  foundry quality --prompt "In the beginning God created the heaven and the earth."
  foundry quality --model DIR --ids-file text.ids --weights q8_0,q4_0 --format markdown`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(qualityFormats, format) {
				return usagef("quality: there is no format %q, want one of %s", format, strings.Join(qualityFormats, ", "))
			}
			o := eval.QualityOptions{Start: foundry.StartOptions{
				Device: device, CPU: cpu.Options{CXX: s.Env("CXX")}, Progress: progress(s.Err),
				Say: func(line string) { fmt.Fprintln(s.Err, line) },
			}}
			for _, name := range strings.Split(weights, ",") {
				t, err := parseDType(strings.TrimSpace(name))
				if err != nil {
					return err
				}
				if t == dtype.Invalid {
					return usagef("quality: --weights %q has an empty name", weights)
				}
				o.Weights = append(o.Weights, t)
			}
			m, err := model.open(s)
			if err != nil {
				return err
			}
			defer m.Close()
			if o.IDs, err = ids.read(cmd, m); err != nil {
				return err
			}
			o.Measured = func(rows []eval.Quality) {
				s.process.whenInterrupted(func(s IO) error { return printQuality(s, format, rows) })
			}
			rows, err := eval.MeasureQuality(cmd.Context(), m, o)
			if err != nil {
				return err
			}
			s.process.whenInterrupted(nil)
			return printQuality(s, format, rows)
		},
	}
	model.add(cmd)
	ids.add(cmd)
	p := cmd.Flags()
	p.StringVar(&weights, "weights", "f16,q8_0,q5_1,q5_0,q4_1,q4_0", "the formats to measure, separated by commas")
	p.StringVar(&device, "device", foundry.Ref, "where to run: "+strings.Join(engine.Devices(), ", "))
	p.StringVar(&format, "format", "table", "table, markdown or json (an object a line)")
	return cmd
}

func printQuality(s IO, format string, rows []eval.Quality) error {
	t := newTable("weights", "bytes", "positions", "NMSE", "KL(f32, format)", "KL(format, f32)", "worst KL", "same top-1").
		alignRight("bytes", "positions", "NMSE", "KL(f32, format)", "KL(format, f32)", "worst KL", "same top-1")
	for _, q := range rows {
		t.row(q.Weights, names.Bytes(q.Bytes), q.Positions, fmt.Sprintf("%.2e", q.NMSE), fmt.Sprintf("%.2e", q.KL),
			fmt.Sprintf("%.2e", q.KLReverse), fmt.Sprintf("%.2e", q.WorstKL), fmt.Sprintf("%.1f %%", 100*q.Top1))
	}
	switch format {
	case "json":
		for _, q := range rows {
			if err := json.NewEncoder(s.Out).Encode(q); err != nil {
				return err
			}
		}
	case "markdown":
		t.markdown(s.Out)
	default:
		t.render(s.Out)
	}
	return nil
}
