package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"foundry"
	"foundry/runtime/bench"
	"foundry/runtime/search"

	"foundry/ir/names"
	"foundry/runtime/files"

	"github.com/spf13/cobra"
)

var (
	benchFormats = []string{"table", "json", "csv", "markdown", "benchstat"}
	benchPhases  = []string{"decode", "prefill"}
)

func benchCommand(s IO) *cobra.Command {
	var model modelFlags
	var compile compileFlags
	var device deviceFlags
	var contexts contextFlags
	var kernels kernelsFlags
	var o bench.Options
	var variants, format, plot, plotAs, samples, trace string
	var score, asJSON bool
	var within float64
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Count and time fusion variants",
		Long: `Bench compiles a model with several pipelines and prints a row for each:
dispatches, waves, barriers and bytes of the plan, the time that the cost model
predicts for the target, and the time measured on the device. Variants are
measured interleaved; times on cpu and ref are emulation and say nothing of a GPU.
Variants of a long list that give the same plan are measured once, under the name
of the first.`,
		Example: `  foundry bench --variants ladder                         # one fusion more a row, on cpu
  foundry bench --variants ladder,leave-one-out --score   # is the predicted order the measured one?
  foundry bench --variants pairs --csv pairs.csv          # every two fusions; each sample to a file
  foundry bench --variants all --reps 0                   # every legal set of whole fusions
  foundry bench --model synth:qwen2.5-7b --variants ladder --reps 0
  foundry bench --variants default --command-buffers 1,2,4,auto   # what splitting a step is worth
  foundry bench --variants unfused,per-layer-6,default --phase prefill --prompt 256 --format json
  foundry bench --device cuda --model synth:qwen2.5-0.5b --contexts 128,2k,8k,32k
  foundry bench --device cuda --model synth:qwen2.5-7b --kernels gate_up
  foundry bench --device cuda --model synth:qwen2.5-7b --kernels attention --contexts 128,8k
  foundry bench --device metal --variants per-layer-6,fewest --indirect --per-kernel
  foundry bench --variants unfused,default --reps 0 --trace x.json   # for Perfetto
  foundry bench --variants @variants.txt --plot ladder.svg     # lines of NAME = PIPELINE`,
		Args: kernels.args,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := exclusive(cmd, "variants", "variant", "passes", "plan"); err != nil {
				return err
			}
			if err := device.check(cmd); err != nil {
				return err
			}
			if asJSON {
				format = "json"
			}
			if !slices.Contains(benchFormats, format) {
				return usagef("bench: there is no format %q, want one of %s", format, strings.Join(benchFormats, ", "))
			}
			if contexts.contexts == "" && !slices.Contains(benchPhases, o.Phase) {
				return usagef("bench: there is no phase %q, want %s", o.Phase, strings.Join(benchPhases, " or "))
			}
			if o.Reps < 0 {
				return usagef("bench: --reps is %d, want at least 0", o.Reps)
			}
			if !(within >= 0 && within <= 100) || o.Limit < 0 {
				return usagef("bench: --within is %g %%, --limit %s; want 0 to 100 and no negative time", within, o.Limit)
			}
			if o.Reps > 0 && (!cmd.Flags().Changed("reps") || cmd.Flags().Changed("within")) {
				o.Within = within / 100
			}
			if o.Reps == 0 && format == "benchstat" {
				return usagef("bench: --format benchstat is of measured times; --reps 0 takes none")
			}
			if score && (o.Reps == 0 || format == "csv" || format == "benchstat") {
				return usagef("bench: --score compares with measured times, as table, markdown or json; --reps is %d, --format %s", o.Reps, format)
			}
			if plot != "" {
				if err := checkPlot(cmd, plot); err != nil {
					return err
				}
			}
			if compile.prefillPasses != "" && compile.passes == "" && compile.variant == "" && contexts.contexts == "" {
				return usagef("bench: --prefill-passes goes with --passes or --variant; a variant of a list is one pipeline for both phases")
			}
			if trace != "" && (device.plan != "" || contexts.contexts != "" || cmd.Flags().Changed("kernels")) {
				return usagef("bench: --trace is of variants that are compiled, not of --plan, --contexts or --kernels")
			}
			if cmd.Flags().Changed("kernels") && !cmd.Flags().Changed("variants") {
				variants = "fewest,unfused"
			}
			var err error
			switch {
			case compile.passes != "":
				o.Variants = []bench.Variant{{Name: "passes", Passes: compile.passes}}
			case compile.variant != "":
				o.Variants, err = bench.ParseVariants(compile.variant)
			case strings.HasPrefix(variants, "@"):
				var text []byte
				if text, err = files.ReadAny(variants[1:], maxInput); err == nil {
					o.Variants, err = bench.ParseVariantFile(variants[1:], string(text))
				}
			default:
				o.Variants, err = bench.ParseVariants(variants)
			}
			if err != nil {
				return err
			}
			for i := range o.Variants {
				o.Variants[i].PrefillPasses = compile.prefillPasses
			}
			if strings.Contains(compile.commandBuffers, ",") {
				var numbers []int
				for _, text := range strings.Split(compile.commandBuffers, ",") {
					n, err := parseBuffers(strings.TrimSpace(text))
					if err != nil {
						return err
					}
					numbers = append(numbers, n)
				}
				o.Variants, compile.commandBuffers = bench.WithCommandBuffers(o.Variants, numbers), "auto"
			}
			m, err := model.open(s)
			if err != nil {
				return err
			}
			defer m.Close()
			backends := compile.attention
			if contexts.contexts != "" && !cmd.Flags().Changed("kernels") {
				compile.attention = "" // a list there
			}
			if o.Compile, err = compile.options(cmd, s); err != nil {
				return err
			}
			o.Device, o.PlanDir, o.CPU = device.device, device.plan, device.options(cmd, s)
			o.Progress, o.Say = progress(s.Err), func(line string) { fmt.Fprintln(s.Err, line) }
			if cmd.Flags().Changed("kernels") {
				return kernels.run(cmd, s, m, o, contexts.contexts, format)
			}
			if contexts.contexts != "" {
				return contexts.run(cmd, s, m, o, backends, format)
			}
			file, err := openOutput(cmd.Context(), "--csv", samples)
			if err != nil {
				return err
			}
			defer file.discard()
			o.Measured = func(rows []bench.Row) {
				s.process.whenInterrupted(func(s IO) error {
					if samples != "" {
						if err := files.Write(context.Background(), samples, func(w io.Writer) error { return printCSV(w, rows) }); err != nil {
							return err
						}
					}
					return printRows(s, m, rows, format)
				})
			}
			var stream *rowStream
			if o.Reps == 0 {
				defer collectSeldom()()
				if format == "table" {
					stream = &rowStream{s: s, m: m}
					o.Counted = stream.rows
				}
			}
			rows, err := search.Bench(cmd.Context(), m, o)
			if err != nil {
				return err
			}
			s.process.whenInterrupted(nil)
			if plot != "" {
				if err := drawPlot(cmd.Context(), plot, plotAs, rows, nil); err != nil {
					return err
				}
			}
			if trace != "" {
				if err := traceRows(cmd.Context(), trace, m, o, rows); err != nil {
					return err
				}
			}
			if err := file.finish(func(w io.Writer) error { return printCSV(w, rows) }); err != nil {
				return err
			}
			if stream != nil && stream.begun {
				stream.end(rows)
				return nil
			}
			if err := printRows(s, m, rows, format); err != nil || !score {
				return err
			}
			return printScore(s, rows, format)
		},
	}
	cmd.AddCommand(compareCommand(s))
	model.add(cmd)
	compile.add(cmd)
	device.add(cmd, foundry.CPU)
	contexts.add(cmd)
	kernels.add(cmd)
	p := cmd.Flags()
	p.StringVar(&variants, "variants", "unfused,per-layer-6,default", "names separated by commas, ladder, leave-one-out, pairs, all (fusions whole), forms (in part too), search, or @FILE with lines of NAME = PIPELINE")
	p.StringVar(&o.Phase, "phase", "decode", "decode (token by token) or prefill (the prompt)")
	p.IntVar(&o.Prompt, "prompt", 128, "decode: tokens in the cache; prefill: tokens that run")
	p.IntVar(&o.Tokens, "tokens", 1, "decode: tokens that one run decodes without a round trip to the host; times are a token's")
	p.IntVar(&o.Reps, "reps", 10, "runs of each variant, that many where the flag is given, otherwise at least; 0 prints plan statistics and reads no weight")
	p.Float64Var(&within, "within", 1, "run until each median is known to so many percent with 95 % confidence, or --limit is over")
	p.DurationVar(&o.Limit, "limit", 20*time.Second, "longest time that --within may add runs for")
	p.BoolVar(&o.PerKernel, "per-kernel", false, "also time each kernel alone: all its dispatches, one after the other")
	p.BoolVar(&o.Indirect, "indirect", false, "on an Apple GPU: also measure each variant replayed from an indirect command buffer, in a row of its own")
	p.StringVar(&o.Capture, "capture", "", "on an Apple GPU: also write a trace of one run to this .gputrace, for Xcode; needs MTL_CAPTURE_ENABLED=1")
	p.StringVar(&format, "format", "table", strings.Join(benchFormats, ", "))
	p.BoolVar(&asJSON, "json", false, "the same as --format json")
	p.StringVar(&samples, "csv", "", "also write every sample to this file, a line each")
	p.BoolVar(&score, "score", false, "print predicted against measured order, and Spearman's rank correlation")
	p.StringVar(&trace, "trace", "", "write the dispatches of each row to this .json, for Perfetto (ui.perfetto.dev): with --per-kernel as measured, else modelled")
	p.StringVar(&plot, "plot", "", "draw the variants' times to this .svg or .png; foundry plot draws what --json wrote")
	p.StringVar(&plotAs, "plot-as", "", "what to draw: times, waterfall or predicted (a ladder as a waterfall, other lists as times)")
	return cmd
}

func printRows(s IO, m *foundry.Model, rows []bench.Row, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(s.Out)
		for i := range rows {
			if err := e.Encode(&rows[i]); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		return printCSV(s.Out, rows)
	case "benchstat":
		for _, r := range rows {
			for _, us := range r.Samples {
				fmt.Fprintf(s.Out, "Benchmark%s/%s/%s/device=%s 1 %.0f ns/op %d dispatches/op %d moved-B/op\n",
					benchName(r.Phase), r.Model, r.Variant, r.Device, us*1e3, r.Dispatches, r.MovedBytes)
			}
		}
		return nil
	}
	return printTable(s, m, rows, format)
}

// benchName is the phase as a benchmark's name starts: with a capital.
func benchName(phase string) string { return strings.ToUpper(phase[:1]) + phase[1:] }

// printTable prints the rows and, where a list compares them, what each fusion saves.
func printTable(s IO, m *foundry.Model, rows []bench.Row, format string) error {
	s.Out = s.folded()
	first := rows[0]
	shared := slices.ContainsFunc(rows, func(r bench.Row) bool { return len(r.Also) > 0 })
	cut := slices.ContainsFunc(rows, func(r bench.Row) bool { return r.CommandBuffers != first.CommandBuffers })
	columns := []string{"variant", "dispatches", "waves"}
	if cut {
		columns = append(columns, "buffers")
	}
	columns = append(columns, "moved")
	targets := modelledTargets(&first)
	columns = append(columns, targets...)
	if first.Measured != nil {
		columns = append(columns, "measured", "+-", "min", "max", "tok/s")
	}
	columns = append(columns, shareColumns(&first)...)
	if shared {
		columns = append(columns, "variants")
	}
	right := columns[1:]
	noisy := slices.ContainsFunc(rows, func(r bench.Row) bool { return r.NoiseWith != "" })
	if noisy {
		columns = append(slices.Clone(columns), "")
	}
	t := newTable(columns...).alignRight(right...)
	for _, r := range rows {
		cells := []any{r.Variant, r.Dispatches, r.Waves}
		if cut {
			cells = append(cells, r.CommandBuffers)
		}
		cells = append(cells, names.Bytes(r.MovedBytes))
		for _, name := range targets {
			cells = append(cells, usText(r.Modelled[name]))
		}
		if r.Measured != nil {
			within := "" // of too few runs nothing is known
			if share, known := r.Measured.Within(); known {
				within = fmt.Sprintf("%.1f %%", 100*share)
			}
			cells = append(cells, usText(r.Measured.Median), within, usText(r.Measured.Min), usText(r.Measured.Max), fmt.Sprintf("%.1f", *r.TokS))
		}
		cells = append(cells, shareCells(&r)...)
		if shared {
			cells = append(cells, 1+len(r.Also))
		}
		if r.NoiseWith != "" {
			cells = append(cells, "noise: like "+r.NoiseWith)
		} else if noisy {
			cells = append(cells, "")
		}
		t.row(cells...)
	}
	printHeading(s, m, &first)
	if format == "markdown" {
		fmt.Fprintln(s.Out)
		t.markdown(s.Out)
		printSavings(s, rows, format)
		return nil
	}
	t.render(s.Out)
	printSavings(s, rows, format)
	printKernels(s, rows)
	printStartups(s, rows)
	return nil
}

// modelledTargets are those of a row, sorted.
func modelledTargets(r *bench.Row) []string {
	return slices.Sorted(maps.Keys(r.Modelled))
}

// busyMachine is the share of a machine's processors that other programs may take before
// a report says so.
const busyMachine = 0.1

// printHeading says what the rows below are of.
func printHeading(s IO, m *foundry.Model, first *bench.Row) {
	what := fmt.Sprintf("one token behind %d", first.Prompt)
	switch {
	case m.Graph != nil || first.Phase == "prefill":
		what = fmt.Sprintf("T=%d", first.Prompt)
	case first.Tokens > 1:
		what = fmt.Sprintf("a token, of %d behind %d", first.Tokens, first.Prompt)
	}
	names.Line(s.Out, "%s, %s (%s); weights %s\n", first.Model, first.Phase, what, names.Bytes(first.WeightBytes))
	if len(first.Modelled) > 0 {
		names.Line(s.Out, "times under %s are modelled, uncalibrated", strings.Join(modelledTargets(first), " and "))
		if first.Measured != nil {
			fmt.Fprintln(s.Out)
		}
	}
	if first.Measured != nil {
		names.Line(s.Out, "measured on %s, median of %d runs, interleaved; +-: where the true median may lie (95 %%, of six runs or more)", first.Device, first.Measured.N)
		if first.Times != "" {
			names.Line(s.Out, "\n%s on a CPU: says nothing of a GPU", first.Times)
		}
		if first.Others != nil && *first.Others >= busyMachine {
			fmt.Fprintf(s.Out, "\nthe machine was busy: other programs took %.0f %% of its processors' time meanwhile", 100**first.Others)
		}
	}
	fmt.Fprintln(s.Out, machineText(first.Machine))
}

// printKernels prints a table a variant of its kernels' own times.
func printKernels(s IO, rows []bench.Row) {
	for _, r := range rows {
		if len(r.Kernels) == 0 {
			continue
		}
		sum := 0.0
		for _, k := range r.Kernels {
			sum += k.Us * float64(k.Dispatches)
		}
		names.Line(s.Out, "\n%s, each kernel alone, its dispatches one after the other: %s in all\n", r.Variant, usText(sum))
		t := newTable("kernel", "dispatches", "each", "in all", "moved each", "GB/s", "share", "TFLOP/s").
			alignRight("dispatches", "each", "in all", "moved each", "GB/s", "share", "TFLOP/s")
		for _, k := range r.Kernels {
			share := ""
			if k.Share > 0 {
				share = fmt.Sprintf("%.0f %%", 100*k.Share)
			}
			t.row(k.Kernel, k.Dispatches, usText(k.Us), usText(k.Us*float64(k.Dispatches)), names.Bytes(k.Bytes), fmt.Sprintf("%.0f", k.GBs), share, fmt.Sprintf("%.3g", k.TFlops))
		}
		t.render(s.Out)
	}
}
