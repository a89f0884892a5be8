package strict

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"foundry/lower/plan"

	"golang.org/x/sync/errgroup"
)

// include is the line that every emitted text begins with.
const include = "#include <metal_stdlib>"

// perProcess is the number of kernels that clang is given at once: what it takes to
// start and to read the header is three times what one kernel takes.
const perProcess = 32

// CheckAll is Check for many kernels, in the shorter time that clang takes to read many
// texts at once, each in a namespace of its own. Texts that clang complains about are
// given to it again alone, so the error is that of Check.
func CheckAll(ctx context.Context, clang string, kernels []plan.Kernel) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for batch := range slices.Chunk(kernels, perProcess) {
		group.Go(func() error {
			if ok, err := checkTogether(ctx, clang, batch); ok || err != nil {
				return err
			}
			for _, k := range batch {
				if err := Check(ctx, clang, k.Name, k.Source); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// checkTogether reports whether neither the rules nor clang complain about any of the
// kernels. A text without the include, which another's would hide, is no such kernel.
func checkTogether(ctx context.Context, clang string, kernels []plan.Kernel) (bool, error) {
	var all strings.Builder
	all.WriteString(include + "\n")
	for i, k := range kernels {
		before, after, ok := strings.Cut(k.Source, include)
		if !ok || len(Rules(k.Source)) > 0 {
			return false, nil
		}
		fmt.Fprintf(&all, "namespace kernel%d {\n%s%s\n}\n", i, before, after)
	}
	complaints, err := compile(ctx, clang, withoutAttributes(all.String()))
	return len(complaints) == 0 && err == nil, err
}
