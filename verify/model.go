package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/passes"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/engine"
	"foundry/shaders"
)

// ModelOptions say what Model runs, and where.
type ModelOptions struct {
	Device   string // the device, one of engine.Devices
	Target   string // the machine whose costs and limits choose kernels; the device's where empty
	CPU      cpu.Options
	Quick    bool                             // few sizes, and of most products two formats
	Only     func(kernel, format string) bool // nil: every kernel
	Shaders  fs.FS                            // stage files that replace the built-in ones
	Progress runtime.Progress
	Finished func([]Row)       // a taker of the rows of which every case has run
	Say      func(line string) // a taker of notes on what engine.Auto took
}

// pipelines are what a .fir graph is verified behind, and whose plans say
// where a kernel is dispatched.
var pipelines = []string{"unfused", "per-layer-6", "default", "fewest"}

// Model runs every kernel that the compiler has on a device and compares it with
// the float64 interpreter; m's plans say where each is dispatched. Of a .fir graph it
// runs the graph instead, behind each pipeline. A kernel out of its bound is a row of
// the report, not an error.
func Model(ctx context.Context, m *model.Model, o ModelOptions) (_ *Report, err error) {
	in := Options{Quick: o.Quick, Only: o.Only, Model: m.BaseName(), Progress: o.Progress, Finished: o.Finished}
	if _, _, err := engine.ParseDevice(o.Device); err != nil {
		return nil, err
	}
	if o.Say == nil {
		o.Say = func(string) {}
	}
	if o.Device, err = engine.Choose(ctx, o.Device, o.CPU, o.Say); err != nil {
		return nil, err
	}
	choices, t, err := engine.Defaults(o.Device, compile.Options{Target: o.Target}).Resolve(m)
	if err != nil {
		return nil, err
	}
	in.Target = t
	if o.Shaders != nil {
		in.Shaders = shaders.Overlay(o.Shaders)
	}
	if o.Device != engine.Ref {
		var dev runtime.Device
		if dev, err = engine.OpenDevice(ctx, o.Device, o.CPU); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, dev.Close()) }()
		in.Device = dev
	}
	if m.Graph == nil {
		if in.Plans, err = Plans(m, choices.Target); err != nil {
			return nil, err
		}
		return Run(ctx, in)
	}
	var list []Pipeline
	for _, name := range pipelines {
		p, err := passes.Variant(name)
		if err != nil {
			return nil, err
		}
		list = append(list, Pipeline{Name: name, Passes: p})
	}
	r, err := RunGraph(ctx, in, m.Graph, list)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	return r, nil
}

// Plans compiles a language model for a target as unfused, per-layer-6, default and fewest,
// and as the rungs of the ladder between them.
func Plans(m *model.Model, target string) ([]Compiled, error) {
	names := slices.Clone(pipelines)
	for _, rung := range passes.Ladder() {
		if !slices.Contains(names, rung) {
			names = append(names, rung)
		}
	}
	var out []Compiled
	for _, name := range names {
		c, err := compile.Model(m, compile.Options{Target: target, Variant: name, Sampler: true})
		if err != nil {
			return nil, err
		}
		out = append(out, Compiled{Pipeline: name, Plan: c.Plan, Rung: !slices.Contains(pipelines, name)})
	}
	return out, nil
}
