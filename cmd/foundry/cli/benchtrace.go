package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"foundry"
	"foundry/ir/sym"
	"foundry/runtime/bench"
	"foundry/runtime/files"
	"foundry/viz"
)

// traceRows writes the dispatches of each row's plan as a trace, with the times that
// --per-kernel measured or, where it did not, those of the cost model.
func traceRows(ctx context.Context, path string, m *foundry.Model, o bench.Options, rows []bench.Row) error {
	var list []viz.Traced
	for i := range rows {
		r := &rows[i]
		own := foundry.Defaults(o.Device, o.Compile)
		own.Variant, own.Passes = "", r.Passes
		if at := slices.IndexFunc(o.Variants, func(v bench.Variant) bool { return v.Name == r.Variant }); at >= 0 {
			own.PrefillPasses = o.Variants[at].PrefillPasses
			if n := o.Variants[at].CommandBuffers; n > 0 {
				own.CommandBuffers = n
			}
		}
		c, err := foundry.Compile(m, own)
		if err != nil {
			return fmt.Errorf("--trace: %s: %w", r.Variant, err)
		}
		t := viz.Traced{Name: r.Variant + ", " + r.Phase, Compiled: c, Entry: r.Phase, Device: r.Device}
		if r.Phase == "decode" {
			t.Runs = []sym.Env{{T: 1, P: int64(r.Prompt)}}
		} else {
			for at, chunk := 0, c.Plan.Model.Chunk; at < r.Prompt; at += chunk {
				t.Runs = append(t.Runs, sym.Env{T: int64(min(chunk, r.Prompt-at)), P: int64(at)})
			}
		}
		for _, k := range r.Kernels {
			if t.Times == nil {
				t.Times = map[string]float64{}
			}
			t.Times[k.Kernel] = k.Us
		}
		list = append(list, t)
	}
	err := files.Write(ctx, path, func(w io.Writer) error { return viz.WriteTrace(w, list) })
	if err != nil {
		return fmt.Errorf("--trace: %w", err)
	}
	return nil
}
