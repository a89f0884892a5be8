package foundry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"foundry/passes"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/shaders"
	"foundry/verify"
)

// VerifyOptions say what Verify runs, and where.
type VerifyOptions struct {
	Device   string // one of Devices
	Target   string // whose costs and limits choose kernels; the device's, or DefaultTarget
	CPU      cpu.Options
	Quick    bool                             // few sizes, and of most products two formats
	Only     func(kernel, format string) bool // nil: every kernel
	Shaders  fs.FS                            // stage files that replace the built-in ones
	Progress Progress
	Say      func(line string) // told what Auto took
}

// verifyPipelines are what a .fir graph is verified behind, and whose plans say
// where a kernel is dispatched.
var verifyPipelines = []string{"none", "six", "default", "floor"}

// Verify runs every kernel that the compiler has on a device and compares it with
// the float64 interpreter; m's plans say where each is dispatched. Of a .fir graph it
// runs the graph instead, behind each pipeline. A kernel out of its bound is a row of
// the report, not an error.
func Verify(ctx context.Context, m *Model, o VerifyOptions) (_ *verify.Report, err error) {
	in := verify.Options{Quick: o.Quick, Only: o.Only, Model: m.BaseName(), Progress: o.Progress}
	if _, _, err := deviceKind(o.Device); err != nil {
		return nil, err
	}
	if o.Device == Auto {
		o.Device = (&StartOptions{CPU: o.CPU, Say: o.Say}).auto()
	}
	compile, t, err := CompileOptions{Device: o.Device, Target: o.Target}.resolve(m)
	if err != nil {
		return nil, err
	}
	in.Target = t
	if o.Shaders != nil {
		in.Shaders = overlay{o.Shaders, shaders.FS}
	}
	if o.Device != Ref {
		var dev runtime.Device
		if dev, err = OpenDevice(o.Device, o.CPU); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, dev.Close()) }()
		in.Device = dev
	}
	if m.Graph == nil {
		if in.Plans, err = VerifyPlans(m, compile.Target); err != nil {
			return nil, err
		}
		return verify.Run(ctx, in)
	}
	var pipelines []verify.Pipeline
	for _, name := range verifyPipelines {
		p, err := passes.Variant(name)
		if err != nil {
			return nil, err
		}
		pipelines = append(pipelines, verify.Pipeline{Name: name, Passes: p.String()})
	}
	r, err := verify.RunGraph(ctx, in, m.Graph, pipelines)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	return r, nil
}

// VerifyPlans compiles a language model for a target as none, six, default and floor,
// and as the rungs of the ladder between them.
func VerifyPlans(m *Model, target string) ([]verify.Compiled, error) {
	names := slices.Clone(verifyPipelines)
	for _, rung := range passes.Ladder() {
		if !slices.Contains(names, rung) {
			names = append(names, rung)
		}
	}
	var out []verify.Compiled
	for _, name := range names {
		c, err := Compile(m, CompileOptions{Target: target, Variant: name, Sampler: true})
		if err != nil {
			return nil, err
		}
		out = append(out, verify.Compiled{Pipeline: name, Plan: c.Plan, Rung: !slices.Contains(verifyPipelines, name)})
	}
	return out, nil
}
