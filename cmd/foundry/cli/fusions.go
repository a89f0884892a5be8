package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"foundry"
	"foundry/ir/names"
	"foundry/lower/plan"
	"foundry/runtime/bench"
)

func fusionsCommand(s IO) *cobra.Command {
	var model modelFlags
	var compile compileFlags
	var device deviceFlags
	var o bench.Options
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "fusions",
		Short: "Show what each fusion saves on a model, and why it was refused where it was",
		Long: `A pipeline is compiled whole and without each of its fusions in turn. What a fusion
saves is the difference of these two plans: in its absence others may take its sites,
so the savings do not add up; what it saves alone, where no other fusion runs, is the
other end. Times are modelled for the target; with --reps they are
measured on the device, too.

Of its sites a fusion has matched some; of some another fusion had taken operations;
at some the cost model predicted no gain; and some were refused: the operations there
cannot become this kernel. Behind the table stands a reason for each of these.`,
		Example: `  foundry fusions --model synth:qwen2.5-7b
  foundry fusions --model synth:qwen2.5-7b --phase prefill --prompt 512 --target h100
  foundry fusions --reps 10 --device cpu        # measured, with intervals
  foundry fusions --variant fewest --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := device.check(cmd); err != nil {
				return err
			}
			if o.Reps < 0 {
				return usagef("fusions: --reps is %d, want at least 0", o.Reps)
			}
			m, err := model.open(s)
			if err != nil {
				return err
			}
			defer m.Close()
			if o.Compile, err = compile.options(cmd, s); err != nil {
				return err
			}
			if _, err := compile.search(cmd, s, m, &o.Compile); err != nil {
				return err
			}
			o.Device, o.PlanDir, o.CPU = device.device, device.plan, device.options(cmd, s)
			o.Progress, o.Say = progress(s.Err), func(line string) { fmt.Fprintln(s.Err, line) }
			f, err := bench.OfFusions(cmd.Context(), m, o)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(s.Out).Encode(f)
			}
			printFusions(s, m, f)
			return nil
		},
	}
	model.add(cmd)
	compile.add(cmd)
	device.add(cmd, foundry.CPU)
	p := cmd.Flags()
	p.StringVar(&o.Phase, "phase", "decode", "decode (token by token) or prefill (the prompt)")
	p.IntVar(&o.Prompt, "prompt", 128, "decode: tokens in the cache; prefill: tokens that run")
	p.IntVar(&o.Reps, "reps", 0, "runs of each pipeline on the device; 0 measures nothing and reads no weight")
	p.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// outcomes are those of a fusion's sites, in the order of their columns.
var outcomes = []string{plan.Matched, plan.Taken, plan.Unprofitable, plan.Refused}

// printFusions prints a table of what each saves and became of its sites, and one of the
// reasons.
func printFusions(s IO, m *foundry.Model, f *bench.Fusions) {
	s.Out = s.folded()
	target := f.Whole.Target
	printHeading(s, m, &f.Whole)
	line := fmt.Sprintf("%s: %d dispatches, %s on %s", f.Whole.Variant, f.Whole.Dispatches, usText(f.Whole.Modelled[target]), target)
	if f.Whole.Measured != nil {
		line += fmt.Sprintf(", %s measured", usText(f.Whole.Measured.Median))
	}
	names.Line(s.Out, "%s; a fusion saves what the plan without it takes more\n\n", line)
	columns := []string{"fusion", "saves", "%", "a site", "alone"}
	if f.Whole.Measured != nil {
		columns = append(columns, "measured", "95 % within")
	}
	columns = append(columns, "dispatches", "moved", "matched", "taken", "no gain", "refused", "")
	t := newTable(columns...).alignRight(columns[1 : len(columns)-1]...)
	why := newTable("fusion", "sites", "", "reason").alignRight("sites")
	for i := range f.Each {
		r := &f.Each[i]
		cells := []any{shortCall(r.Pass), "", "", "", ""}
		if r.SavesAlone != nil {
			cells[4] = usText(r.SavesAlone.Modelled[target])
		}
		if f.Whole.Measured != nil {
			cells = append(cells, "", "")
		}
		moved := []any{"", ""}
		mark := ""
		if v := r.Saves; v != nil {
			us := v.Modelled[target]
			cells[1], cells[2], cells[3] = usText(us), fmt.Sprintf("%.1f", 100*us/(f.Whole.Modelled[target]+us)), usText(r.PerSite(us))
			moved = []any{v.Dispatches, names.Bytes(v.MovedBytes)}
			if us < 0 {
				mark = "costs"
			}
			if v.Measured != nil {
				cells[5], cells[6] = usText(v.Measured.Mid), usText(v.Measured.Low)+" to "+usText(v.Measured.High)
				if !v.Measured.Sure() {
					mark = "noise is larger"
				}
			}
			if v.Why != "" {
				why.row(shortCall(r.Pass), r.Sites[plan.Matched], "costs", v.Why)
			}
		} else if r.Sites[plan.NoSite] > 0 {
			mark = plan.NoSite
		}
		cells = append(cells, moved...)
		for _, o := range outcomes {
			if n := r.Sites[o]; n > 0 {
				cells = append(cells, n)
			} else {
				cells = append(cells, "")
			}
		}
		t.row(append(cells, mark)...)
		for _, g := range r.Reasons {
			switch g.Outcome {
			case plan.Matched:
			case plan.NoSite:
				why.row(shortCall(r.Pass), "", g.Outcome, g.Reason)
			default:
				why.row(shortCall(r.Pass), g.Count, g.Outcome, g.Reason)
			}
		}
	}
	t.render(s.Out)
	fmt.Fprintln(s.Out, "\nwhy not:")
	why.render(s.Out)
}

// shortCall is a call as people name the fusion: without the pass's prefix, and without
// the option that almost all of them have.
func shortCall(call string) string {
	name := strings.TrimPrefix(call, "fuse-")
	name = strings.Replace(name, "{when=cheaper}", "", 1)
	return strings.Replace(name, ",when=cheaper}", "}", 1)
}
