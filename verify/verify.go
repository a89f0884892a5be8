// Package verify turns a device into a report of how right its kernels are: every
// kernel that the compiler has, in every format, over many shapes, against the
// float64 interpreter, and each fused kernel beside its unfused twin.
//
// A kernel is reached through the compiler: small graphs run through the passes
// that form it, become a plan, and the plan runs on the device. The table of
// kernels is in table.go, their graphs in probes.go and graphs.go; how far a result
// may stray is decided by foundry/ir/interp, in bounds.go, the one table of bounds.
//
// Read next: table.go, then run.go; uses.go for which dispatch is of which row.
package verify

import (
	"context"
	"fmt"
	"io/fs"

	"foundry/ir/target"
	"foundry/runtime"
)

// Options say what is verified and where.
type Options struct {
	// Device runs the kernels; nil is the interpreter itself in float32, on the
	// fused graphs: that checks rounding and fusion, and no kernel.
	Device runtime.Device
	Target *target.Target                   // the machine whose costs and limits choose the kernels
	Quick  bool                             // few sizes, and of most products two formats
	Only   func(kernel, format string) bool // rows; nil: all
	// Probes of those rows, by their places; nil: all.
	Probes   func(kernel, format string, place int) bool
	Shaders  fs.FS      // stage files; nil: those of package shaders
	Model    string     // the model of Plans
	Plans    []Compiled // plans that say where kernels are dispatched
	Progress runtime.Progress
	// Finished is told the rows of which every case has run; nil: nobody is.
	Finished func([]Row)
}

// newReport returns a report without rows.
func newReport(o Options) *Report {
	r := &Report{Device: "ref", Target: o.Target.Name, Model: o.Model, Quick: o.Quick}
	if o.Device == nil {
		r.Note = "ref interprets the graphs in float32 and runs no kernel: a row checks that fusion keeps the meaning, and rounding"
	} else {
		r.Device = o.Device.Info().Kind
	}
	return r
}

// Run verifies every kernel. The error is of what could not be run at all; what is
// wrong with a kernel is in its row.
func Run(ctx context.Context, o Options) (*Report, error) {
	r := newReport(o)
	all, err := o.trials()
	if err == nil {
		err = r.findUses(o)
	}
	if err == nil {
		err = r.runAll(ctx, o, all)
	}
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	return r, nil
}

// trials are those that the options want.
func (o *Options) trials() ([]*trial, error) {
	return trials(o.Target, o.Quick, func(k *kernelKind, format string, place int) bool {
		return (o.Only == nil || o.Only(k.name, format)) && (o.Probes == nil || o.Probes(k.name, format, place))
	})
}

// findUses fills in where plans dispatch kernels, once rows exist.
func (r *Report) findUses(o Options) error {
	if len(o.Plans) == 0 {
		return nil
	}
	k, err := kindsFor(o.Target)
	if err != nil {
		return err
	}
	r.uses, r.Strangers = k.usesIn(o.Plans)
	return nil
}
