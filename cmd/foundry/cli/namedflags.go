package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"foundry/frontends/checkpoint"
	"foundry/ir/names"
	"foundry/ir/target"
	"foundry/lower/compile"
	"foundry/passes"
	"foundry/runtime/bench"
	"foundry/runtime/engine"
)

// namedFlags are the flags that take one of the names there are, or a list of them,
// with what refuses a value that holds another. A command line with such a name is
// wrong whatever the model, and is refused before anything is opened.
var namedFlags = map[string]func(value string) error{
	"variant":        func(v string) error { _, err := passes.Variant(v); return err },
	"variants":       isVariants,
	"passes":         isPipeline,
	"prefill-passes": isPipeline,
	"print-after":    isPass,
	"at":             isPoint,
	"target":         func(v string) error { _, err := target.Find(v); return err },
	"attention":      isAttention,
	"weights":        areTypes,
	"cache":          areTypes,
	"device":         func(v string) error { _, _, err := engine.ParseDevice(v); return err },
}

// checkNames refuses names that a command's flags give and that are none.
func checkNames(cmd *cobra.Command) error {
	for flag, refuse := range namedFlags {
		f := cmd.Flags().Lookup(flag)
		if f == nil || !f.Changed || strings.Trim(f.Value.String(), ", ") == "" {
			continue
		}
		if err := refuse(f.Value.String()); err != nil {
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
