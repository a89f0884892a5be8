package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"foundry"
	"foundry/ir/dtype"
	"foundry/ir/names"
	"foundry/ir/target"
	"foundry/passes"
)

// listCommands show what flags take: passes, targets, variants; and the version.
func listCommands(s IO) []*cobra.Command {
	return []*cobra.Command{
		{
			Use: "passes [PASS]", Short: "List the passes that --passes takes, or show one with its options",
			Example: "  foundry passes\n  foundry passes fuse-attention",
			Args:    cobra.MaximumNArgs(1), ValidArgsFunction: complete(passNames),
			RunE: func(_ *cobra.Command, args []string) error { return printPasses(s, args) },
		},
		{
			Use: "targets", Short: "List the machines that --target takes, with the numbers that decide",
			Example: "  foundry targets", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				columns := []string{"target", "cores", "GB/s", "TFLOP/s", "a dispatch", "a wave", "numbers"}
				t := newTable(columns...).alignRight(columns[1 : len(columns)-1]...)
				var notes []string // where numbers come from: many targets share one
				for _, x := range target.All() {
					if !slices.Contains(notes, x.Note) {
						notes = append(notes, x.Note)
					}
					t.row(x.Name, x.Cores, fmt.Sprintf("%.0f", x.BandwidthGBs), fmt.Sprintf("%.3g", max(x.TFlops, x.TileTFlops)), usText(x.DispatchUs), usText(x.WaveUs), fmt.Sprintf("(%d)", 1+slices.Index(notes, x.Note)))
				}
				t.render(s.Out)
				out := s.folded()
				fmt.Fprintln(out)
				for i, note := range notes {
					names.Line(out, "(%d)  %s\n", i+1, note)
				}
				return nil
			},
		},
		{
			Use: "variants [VARIANT]", Short: "List the named pipelines that --variant takes, or print one whole",
			Example: "  foundry variants\n  foundry variants default",
			Args:    cobra.MaximumNArgs(1), ValidArgsFunction: complete(passes.Variants),
			RunE: func(_ *cobra.Command, args []string) error { return printVariants(s, args) },
		},
		{
			Use: "version", Short: "Print the compiler's version, as plans record it", Example: "  foundry version", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				fmt.Fprintf(s.Out, "%s, %s %s/%s\n", foundry.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return nil
			},
		},
	}
}

func printPasses(s IO, args []string) error {
	all := passes.BuiltIn().Passes()
	if len(args) == 0 {
		t := newTable("pass", "what it does")
		for _, p := range all {
			t.row(p.Name, p.Doc)
		}
		t.render(s.Out)
		return nil
	}
	for _, p := range all {
		if p.Name != args[0] {
			continue
		}
		names.Line(s.folded(), "%s: %s\n", p.Name, p.Doc)
		t := newTable("option", "values", "without it", "what it does")
		for _, o := range p.Options {
			t.row(o.Name, cmp.Or(strings.Join(o.Values, ", "), "words"), o.Default, o.Doc)
		}
		if len(p.Options) > 0 {
			t.render(s.Out)
		}
		return nil
	}
	return usagef("passes: there is no pass %q%s; foundry passes lists them", args[0], names.DidYouMean(args[0], passNames()))
}

func printVariants(s IO, args []string) error {
	if len(args) == 1 {
		p, err := passes.Variant(args[0])
		if err != nil {
			return usagef("variants: %w; foundry variants lists them", err)
		}
		fmt.Fprintln(s.Out, p)
		return nil
	}
	t := newTable("variant", "passes", "pipeline (foundry variants NAME prints one as --passes takes it)").alignRight("passes")
	for _, name := range passes.Variants() {
		p, err := passes.Variant(name)
		if err != nil {
			return err
		}
		t.row(name, len(p), strings.ReplaceAll(p.String(), ",", ", "))
	}
	t.render(s.Out)
	return nil
}

func passNames() []string {
	var out []string
	for _, p := range passes.BuiltIn().Passes() {
		out = append(out, p.Name)
	}
	return out
}

func targetNames() []string {
	var out []string
	for _, t := range target.All() {
		out = append(out, t.Name)
	}
	return out
}

// weightNames are dtypes that matrices can be made; of affine ones some.
func weightNames() []string {
	var types []string
	for _, t := range dtype.AllButAffine() {
		if t.CanQuantise() {
			types = append(types, t.String())
		}
	}
	return append(types, "affine4", "affine8", "affine4_g32_f16")
}

// complete is the shell's completion from a list; of values with commas, of the last part.
func complete(list func() []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		before := typed[:strings.LastIndexByte(typed, ',')+1]
		var out []string
		for _, name := range list() {
			out = append(out, before+name)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
