package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/names"
	"foundry/ir/target"
	"foundry/lower/compile"
	"foundry/passes"
	"foundry/runtime/bench"
	"foundry/runtime/chart"
	"foundry/runtime/engine"
)

// named is a flag that takes one of the names there are, or a list of them.
type named struct {
	refuse func(value string) error // a value that holds another name
	list   func() []string          // the names, for the shell's completion
}

// namedFlags are the flags of names. A command line with a name that is none is wrong
// whatever the model, and is refused before anything is opened.
var namedFlags = map[string]named{
	"variant":        {func(v string) error { _, err := passes.Variant(v); return err }, passes.Variants},
	"variants":       {isVariants, func() []string { return append(bench.VariantLists(), passes.Variants()...) }},
	"passes":         {isPipeline, func() []string { return append(passNames(), compile.SearchPasses) }},
	"prefill-passes": {isPipeline, passNames},
	"print-after":    {isPass, func() []string { return append(passNames(), "all") }},
	"at":             {isPoint, pointNames},
	"target":         {func(v string) error { _, err := target.Find(v); return err }, targetNames},
	"attention":      {isAttention, compile.AttentionBackends},
	"weights":        {areTypes, weightNames},
	"cache":          {areTypes, func() []string { return []string{"f16", "f32"} }},
	"device":         {func(v string) error { _, _, err := engine.ParseDevice(v); return err }, engine.Devices},
	"as":             {oneOf("picture", chart.Kinds), chart.Kinds},
	"plot-as":        {oneOf("picture", chart.Kinds), chart.Kinds},
	"phase":          {oneOf("phase", phases), phases},
	"format":         {oneOf("format", formats), formats},
}

func phases() []string { return []string{"decode", "prefill", "both"} }

// formats are those of all commands; each takes some.
func formats() []string { return benchFormats }

// oneOf refuses what is none of the names of a kind.
func oneOf(kind string, list func() []string) func(string) error {
	return func(name string) error {
		if all := list(); !slices.Contains(all, name) {
			return fmt.Errorf("there is no %s %q, want one of %s%s", kind, name, strings.Join(all, ", "), names.DidYouMean(name, all))
		}
		return nil
	}
}

// completeNames lets the shell complete the flags of names of all commands below parent.
func completeNames(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		completeNames(c)
		if c.Flags().Lookup("model") != nil {
			_ = c.RegisterFlagCompletionFunc("model", completeModel) // of a flag that there is
		}
		for flag, n := range namedFlags {
			if c.Flags().Lookup(flag) != nil {
				_ = c.RegisterFlagCompletionFunc(flag, complete(n.list)) // of a flag that there is
			}
		}
	}
}

// completeModel completes names of models, and files.
func completeModel(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return model.PresetNames(), cobra.ShellCompDirectiveDefault
}

// checkNames refuses names that a command's flags give and that are none.
func checkNames(cmd *cobra.Command) error {
	for flag, n := range namedFlags {
		f := cmd.Flags().Lookup(flag)
		if f == nil || !f.Changed || strings.Trim(f.Value.String(), ", ") == "" {
			continue
		}
		if err := n.refuse(f.Value.String()); err != nil {
			return usagef("%s: --%s: %w", cmd.Name(), flag, err)
		}
	}
	return nil
}

func isVariants(list string) error {
	if strings.HasPrefix(list, "@") { // a file's names are the file's
		return nil
	}
	_, err := bench.ParseVariants(list)
	return err
}

func isPipeline(text string) error {
	if text == compile.SearchPasses {
		return nil
	}
	_, err := passes.Parse(text)
	return err
}

func isPass(name string) error {
	if name == "all" {
		return nil
	}
	_, err := passes.Parse(name)
	return err
}

// points are those of a pipeline, but for the one behind a pass.
var points = []string{"input", "fused", "plan"}

func pointNames() []string {
	out := slices.Clone(points)
	for _, pass := range passNames() {
		out = append(out, "after:"+pass)
	}
	return out
}

func isPoint(point string) error {
	if pass, after := strings.CutPrefix(point, "after:"); after {
		return isPass(pass)
	}
	if slices.Contains(points, point) {
		return nil
	}
	return fmt.Errorf("the pipeline has no point %q, want one of input, after:PASS, fused, plan%s", point, names.DidYouMean(point, points))
}

// isAttention takes a list, which bench compares.
func isAttention(list string) error {
	for name := range strings.SplitSeq(list, ",") {
		if known := compile.AttentionBackends(); !slices.Contains(known, strings.TrimSpace(name)) {
			return fmt.Errorf("attention backend %q does not exist, want one of %s%s", name, strings.Join(known, ", "), names.DidYouMean(name, known))
		}
	}
	return nil
}

// areTypes takes a list, which quality compares, and the mix of types that convert
// writes.
func areTypes(list string) error {
	for name := range strings.SplitSeq(list, ",") {
		if name == checkpoint.MixName {
			continue
		}
		if _, err := parseDType(strings.TrimSpace(name)); err != nil {
			return err
		}
	}
	return nil
}
