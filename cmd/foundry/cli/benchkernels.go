package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"foundry"
	"foundry/ir/names"
	"foundry/runtime/bench"
)

// kernelsFlags turn bench to single kernels.
type kernelsFlags struct{ name string }

// allKernels is --kernels without a name.
const allKernels = "all"

func (f *kernelsFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "kernels", "", "measure each kernel alone (--kernels=NAME or --kernels NAME: those with NAME in theirs) and the others that its node could get; T is 1 and --chunk (512), behind --prompt tokens and none, or behind each of --contexts; --variants (fewest,unfused) say whose kernels")
	cmd.Flags().Lookup("kernels").NoOptDefVal = allKernels
}

// args allows a name behind --kernels.
func (f *kernelsFlags) args(cmd *cobra.Command, args []string) error {
	if f.name == allKernels && len(args) == 1 {
		f.name = args[0]
		return nil
	}
	return cobra.NoArgs(cmd, args)
}

// run measures and prints; o is filled in but for what the flags here say, and contexts are
// the words of --contexts.
func (f *kernelsFlags) run(cmd *cobra.Command, s IO, m *foundry.Model, o bench.Options, contexts, format string) (err error) {
	for _, name := range []string{"plan", "per-kernel", "plot", "tokens", "phase", "reps", "csv", "score"} {
		if cmd.Flags().Changed(name) {
			return usagef("bench: --%s has no place beside --kernels", name)
		}
	}
	if strings.TrimSpace(f.name) == "" {
		return usagef("bench: --kernels names nothing; write --kernels alone for all")
	}
	if format != "table" && format != "json" && format != "markdown" {
		return usagef("bench: --kernels is printed as table, markdown or json, not as %s", format)
	}
	k := bench.KernelsOptions{Bench: o, Name: f.name, Rows: []int{1, 512}}
	if f.name == allKernels {
		k.Name = ""
	}
	if o.Compile.Chunk > 0 {
		k.Rows[1] = o.Compile.Chunk
	}
	if k.Rows[1] < 2 {
		return usagef("bench: --chunk is %d, want at least 2 tokens of a prefill", k.Rows[1])
	}
	if contexts != "" {
		if cmd.Flags().Changed("prompt") {
			return usagef("bench: kernels are measured behind --prompt tokens or behind --contexts, not both")
		}
		if k.Behind, err = parseContexts(contexts); err != nil {
			return err
		}
	}
	k.Measured = func(rows []bench.AloneRow) {
		s.process.whenInterrupted(func(s IO) error { return printAlone(s, rows, k, format) })
	}
	rows, err := bench.Kernels(cmd.Context(), m, k)
	if err != nil {
		return err
	}
	s.process.whenInterrupted(nil)
	return printAlone(s, rows, k, format)
}

func printAlone(s IO, rows []bench.AloneRow, k bench.KernelsOptions, format string) error {
	if format == "json" {
		for i := range rows {
			if err := json.NewEncoder(s.Out).Encode(&rows[i]); err != nil {
				return err
			}
		}
		return nil
	}
	s.Out = s.folded()
	first := rows[0]
	fmt.Fprintf(s.Out, "%s on %s, each kernel alone: one dispatch over and over, weights and caches in turn over at least 240 MB so that no cache holds them",
		first.Model, first.Device)
	if first.Times != "" {
		fmt.Fprintf(s.Out, " (%s: says nothing of a GPU)", first.Times)
	}
	fmt.Fprintln(s.Out, machineText(first.Machine))
	fmt.Fprintf(s.Out, "of a node's kernels the %d that are predicted to be fastest; the words pin one in a graph, as kernel=\"...\"; a share is left out where less than that is read in turn\n", bench.KernelsTried)
	t := newTable("T", "behind", "variant", "dispatch", "kernel", "words", "threads", "us", "moved", "GB/s", "share", "TFLOP/s").
		alignRight("T", "behind", "threads", "us", "moved", "GB/s", "share", "TFLOP/s")
	for _, r := range rows {
		share := ""
		if r.Share != nil {
			share = fmt.Sprintf("%.1f %%", 100**r.Share)
		}
		t.row(r.T, r.P, r.Variant, r.Dispatch, r.Kernel, choicesText(&r), r.Threads, fmt.Sprintf("%.2f", r.Us), names.Bytes(r.Bytes),
			fmt.Sprintf("%.0f", r.GBs), share, fmt.Sprintf("%.3g", r.TFlops))
	}
	if format == "markdown" {
		t.markdown(s.Out)
		return nil
	}
	t.render(s.Out)
	return nil
}

// choicesText is what a row's kernel is chosen by.
func choicesText(r *bench.AloneRow) string {
	text := strings.Join(r.Choices, " = ")
	switch {
	case text == "":
		return "none to choose"
	case r.Chosen:
		return text + " (chosen)"
	}
	return text
}
