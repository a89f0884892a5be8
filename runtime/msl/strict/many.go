package strict

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"foundry/lower/plan"
	"foundry/runtime/msl/lex"

	"golang.org/x/sync/errgroup"
)

// include is the line that every emitted text begins with.
const include = "#include <metal_stdlib>"

// The fewest and the most kernels that clang is given at once: what it takes to start and
// to read the header is ten times what a kernel takes whose stages it has read.
const fewest, most = 32, 128

// CheckAll is Check for many kernels, in the shorter time that clang and the rules take to
// read many texts at once, each in a namespace of its own and stages that several have once.
// Where there is a complaint each text is checked again alone, so the error is that of Check.
func CheckAll(ctx context.Context, clang string, kernels []plan.Kernel) error {
	parts := make([]*part, len(kernels))
	for i := range kernels {
		parts[i] = cut(&kernels[i])
	}
	slices.SortStableFunc(parts, func(a, b *part) int { return cmp.Compare(a.stages, b.stages) })
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for batch := range slices.Chunk(parts, min(max(fewest, (len(parts)+runtime.NumCPU()-1)/runtime.NumCPU()), most)) {
		group.Go(func() error {
			if ok, err := checkTogether(ctx, clang, batch); ok || err != nil {
				return err
			}
			for _, p := range batch {
				if err := Check(ctx, clang, p.kernel.Name, p.kernel.Source); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// part is a kernel's text, cut where its own function begins.
type part struct {
	kernel *plan.Kernel
	stages string // the text before, without the line that names the kernel; all of one that is not cut
	own    string
}

// cut leaves a text whole that has no stages, or whose function has directives, which
// would end only behind others.
func cut(k *plan.Kernel) *part {
	stages, own, ok := k.CutStages(k.Source)
	if !ok || lex.HasDirective(own) {
		return &part{kernel: k, stages: k.Source}
	}
	return &part{k, stages, own}
}

// checkTogether reports whether neither the rules nor clang complain about any of the
// kernels. A text without the include, which another's would hide, is no such kernel.
func checkTogether(ctx context.Context, clang string, parts []*part) (bool, error) {
	var all strings.Builder
	all.WriteString(include + "\n")
	for at := 0; at < len(parts); {
		stages := parts[at].stages
		before, after, ok := strings.Cut(stages, include)
		if !ok {
			return false, nil
		}
		rules := rulesBehind(stages)
		fmt.Fprintf(&all, "namespace stages%d {\n%s%s\n", at, before, after)
		for ; at < len(parts) && parts[at].stages == stages; at++ {
			if !rules(parts[at].own) {
				return false, nil
			}
			fmt.Fprintf(&all, "namespace kernel%d {\n%s\n}\n", at, parts[at].own)
		}
		all.WriteString("}\n")
	}
	complaints, err := compile(ctx, clang, withoutAttributes(all.String()))
	return len(complaints) == 0 && err == nil, err
}

// rulesBehind returns a function that reports whether the rules accept the stages with a
// kernel's own text behind them. They read the stages once where nothing of either changes
// what the other means: stages that end behind all their braces and with a declaration, own
// text that declares no type and no function but its kernel.
func rulesBehind(stages string) (accept func(own string) bool) {
	ended := strings.TrimRight(clean(stages), blanks)
	closed := strings.Count(ended, "{") == strings.Count(ended, "}") && (strings.HasSuffix(ended, "}") || strings.HasSuffix(ended, ";"))
	fine := len(Rules(stages)) == 0
	known := namesOf(ended)
	return func(own string) bool {
		text := clean(own)
		alone := closed && !definition.MatchString(text) && len(namesOf(text).types)+len(namesOf(text).params) == 0
		if !alone {
			return len(Rules(stages+plan.FunctionBanner+own)) == 0
		}
		return fine && len(complaints(";\n"+own, known)) == 0
	}
}

func clean(text string) string {
	out, _ := visible(text)
	return out
}
