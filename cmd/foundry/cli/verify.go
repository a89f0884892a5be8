package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"foundry"
	"foundry/lower/plan"
	"foundry/runtime/cpu"
	"foundry/runtime/engine"
	"foundry/verify"

	"github.com/spf13/cobra"
)

func verifyCommand(s IO) *cobra.Command {
	var model modelFlags
	var only, shaders string
	var asJSON bool
	var how cpuFlags
	var trust trustFlag
	o := verify.ModelOptions{Progress: progress(s.Err), Say: func(line string) { fmt.Fprintln(s.Err, line) }}
	cmd := &cobra.Command{
		Use:   "verify [FILE.fir | PLAN-DIR]",
		Short: "Run every kernel on a device and compare it with the reference",
		Long: `Every kernel of the compiler, in every format, is reached through the compiler
and run over the sizes at which kernels break; results are compared with the float64
interpreter's, and a fused kernel also with its unfused twin. A row is a kernel and a
format: cases run, worst NMSE, worst absolute error, worst error in units of the last
place where exactness is due, the bound, and the pipelines and nodes of --model that
dispatch it. A graph of FILE.fir is verified instead, behind each pipeline.

Of PLAN-DIR every entry runs on cpu over few tokens, with every memory access looked
at: whether kernels touch what the plan says, not what they compute.

Exit code 1 when a row is out of its bound, or when a plan of --model dispatches a
kernel that no row stands for.`,
		Example: `  foundry verify --quick
  foundry verify --device cuda --json
  foundry verify --device cpu --only attention
  foundry verify graph.fir --device cpu
  foundry verify plan/`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && isFolder(args[0]) {
				c := trust.options(s, cpuFlags{checked: true, shuffle: how.shuffle})
				if !trust.on {
					c.Confine = s.Confine
				}
				return verifyBundle(cmd, s, args[0], c, asJSON)
			}
			if len(args) == 1 {
				if err := exclusive(cmd, "model", "only"); err != nil || cmd.Flags().Changed("model") || cmd.Flags().Changed("only") {
					return usagef("verify: FILE.fir is verified alone; leave out --model and --only")
				}
				if !strings.HasSuffix(args[0], ".fir") {
					return usagef("verify: %s is no .fir graph and no folder of a plan; name a model with --model", args[0])
				}
				model.model = args[0]
			}
			if err := how.check(cmd, o.Device); err != nil {
				return err
			}
			m, err := model.open(s)
			if err != nil {
				return err
			}
			defer m.Close()
			if o.Shaders, err = shaderFolder(shaders); err != nil {
				return err
			}
			o.CPU = trust.options(s, how)
			o.CPU.OneRun = true
			o.Only = func(kernel, format string) bool { return strings.Contains(kernel+" "+format, only) }
			o.Finished = func(rows []verify.Row) {
				s.process.whenInterrupted(func(s IO) error {
					printFinishedRows(s, rows)
					return nil
				})
			}
			r, err := verify.Model(cmd.Context(), m, o)
			if err != nil {
				return err
			}
			s.process.whenInterrupted(nil)
			if len(r.Rows) == 0 {
				return fmt.Errorf("verify: no kernel and format contains %q", only)
			}
			if asJSON {
				err = json.NewEncoder(s.Out).Encode(r)
			} else {
				printVerification(s, r)
			}
			if err != nil {
				return err
			}
			return verdict(r)
		},
	}
	model.add(cmd)
	p := cmd.Flags()
	p.StringVar(&o.Device, "device", foundry.CPU, "where to run: "+strings.Join(engine.Devices(), ", ")+"; ref checks fusion and rounding, and no kernel")
	p.StringVar(&o.Target, "target", "", "the machine whose limits and costs choose the kernels (the device's, or apple-m3-pro)")
	p.BoolVar(&o.Quick, "quick", false, "few sizes, and of most products two formats")
	p.StringVar(&only, "only", "", "kernels whose name and format (such as \"matmul GEMV q8_0\") contain this")
	p.StringVar(&shaders, "shaders", "", "folder of stage files that replace the built-in ones")
	trust.add(cmd)
	how.add(cmd)
	p.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// verifyBundle runs a plan from disk with every access looked at.
func verifyBundle(cmd *cobra.Command, s IO, dir string, c cpu.Options, asJSON bool) error {
	for _, flag := range []string{"model", "only", "shaders", "target", "quick"} {
		if cmd.Flags().Changed(flag) {
			return usagef("verify: --%s has no effect on a plan, which is verified alone; leave it out", flag)
		}
	}
	if d := cmd.Flags().Lookup("device").Value.String(); d != foundry.CPU {
		return usagef("verify: a plan is verified on cpu, which looks at every access, not on %s", d)
	}
	p, err := plan.Load(dir)
	if err != nil {
		return err
	}
	runs, err := verify.Bundle(cmd.Context(), p, c, progress(s.Err))
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if asJSON {
		return json.NewEncoder(s.Out).Encode(runs)
	}
	for _, r := range runs {
		fmt.Fprintf(s.Out, "%s at T=%d P=%d: %d dispatches touch what the plan says\n", r.Entry, r.T, r.P, r.Dispatches)
	}
	return nil
}

// verdict is an error that names what failed.
func verdict(r *verify.Report) error {
	var failed []string
	for _, row := range r.Rows {
		if !row.Pass {
			failed = append(failed, fmt.Sprintf("%s %s (%s)", row.Kernel, row.Format, row.Failure))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("verify: %d of %d rows failed: %s", len(failed), len(r.Rows), firstFew(failed))
	}
	if len(r.Strangers) > 0 {
		return fmt.Errorf("verify: no row stands for %s", firstFew(r.Strangers))
	}
	return nil
}

// firstFew joins the first three of a list for a line, and says how many more there are.
func firstFew(list []string) string {
	const few = 3
	if len(list) <= few {
		return strings.Join(list, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(list[:few], "; "), len(list)-few)
}

// printFinishedRows prints what an interrupted verification found.
func printFinishedRows(s IO, rows []verify.Row) {
	t := newTable("kernel", "format", "cases", "NMSE", "").alignRight("cases", "NMSE")
	for _, row := range rows {
		verdict := "pass"
		if !row.Pass {
			verdict = "FAIL " + row.Failure
		}
		t.row(row.Kernel, row.Format, row.Cases, fmt.Sprintf("%.1e", row.NMSE), verdict)
	}
	t.render(s.Out)
}

func printVerification(s IO, r *verify.Report) {
	t := newTable("kernel", "format", "cases", "NMSE", "max abs", "ULP", "bound", "unfused", "apart", "", "dispatched in").
		alignRight("cases", "NMSE", "max abs", "ULP", "unfused", "apart")
	for _, row := range r.Rows {
		ulp, twin, apart, verdict := "", "", "", "pass"
		if row.ULP != nil {
			ulp = fmt.Sprint(*row.ULP)
		}
		if row.Twin != nil {
			twin, apart = fmt.Sprintf("%.1e", row.Twin.NMSE), fmt.Sprintf("%.1e", row.Twin.Between)
		}
		if !row.Pass {
			verdict = "FAIL"
		}
		t.row(row.Kernel, row.Format, row.Cases, fmt.Sprintf("%.1e", row.NMSE), fmt.Sprintf("%.1e", row.MaxAbs), ulp, row.Bound, twin, apart, verdict, row.DispatchedIn())
	}
	t.render(s.Out)
	for _, row := range r.Rows {
		if !row.Pass {
			fmt.Fprintf(s.Out, "FAIL %s %s: %s\n", row.Kernel, row.Format, row.Failure)
		}
	}
	for _, x := range r.Strangers {
		fmt.Fprintf(s.Out, "FAIL no row stands for %s\n", x)
	}
	if r.Note != "" {
		fmt.Fprintln(s.Out, r.Note)
	}
	fmt.Fprintf(s.Out, "%s, kernels for %s: %d rows, %d cases, %d rows failed\n", r.Device, r.Target, len(r.Rows), r.Cases, r.Failed)
}
