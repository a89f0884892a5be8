// Package metal turns graphs, one for each entry, into a plan: compound kernels in
// MSL, buffers, and dispatches in waves between barriers.
//
// A node is one dispatch (argmax two). Its region is split into stages: a main
// that owns the iteration space, a prologue that makes main's operand, an
// epilogue a result; region.go picks the main, expr.go writes what is computed by
// element. Bodies are statements of lower/msl until a kernel stands, and are folded then. Kernels are cached by what they compute, so equal layers share one.
// Views cost nothing where strides can say them. Dispatches are ordered into
// waves, transients get places in one arena, and barriers are put where byte
// ranges conflict.
//
// Read next: region.go, then gemv.go for the largest main; buffers.go,
// schedule.go, memory.go and hazard.go for the plan around the kernels.
package metal

import (
	"fmt"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"foundry/ir"
	"foundry/ir/cost"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/lower/plan"
	"foundry/shaders"
)

// Entry is one way into the plan.
type Entry struct {
	Name  string // prefill, decode, or the graph's name
	Role  plan.EntryRole
	Graph *ir.Graph
}

// Options say what the plan is for.
type Options struct {
	Target         *target.Target
	Choices        *cost.Choices // choices of kernels for the target that were made so far; nil: none were
	Compiler       string        // the author that the plan names
	Model          plan.Model
	Tokens         *plan.Tokens
	Meta           plan.Options
	Shaders        fs.FS // stage files; nil: those of package shaders
	CommandBuffers int   // 0: chosen so that encoding overlaps execution
	Chain          int   // runs of decode in a command buffer; 0: so many that their borders cost little
	Decisions      []plan.Decision
	// Stored tells the dtype that a tensor has in the checkpoint, or dtype.Invalid;
	// nil: nobody knows. Load recipes say what it spares.
	Stored func(tensor string) dtype.Type
}

// Compile lowers the entries' graphs into one plan: they share weights, state and
// kernels. Graphs have passed ir.Verify. The same input gives the same plan, byte
// for byte. An error names the node that has no kernel, and why.
func Compile(entries []Entry, o Options) (*plan.Plan, error) {
	if o.Shaders == nil {
		o.Shaders = shaders.FS
	}
	if o.Choices == nil {
		o.Choices = NewChoices(o.Target)
	}
	c := newCompiler(&o)
	for _, e := range entries {
		c.reserve(e.Graph)
	}
	open := make([]*entry, len(entries))
	for i, e := range entries {
		var err error
		if open[i], err = c.open(e); err != nil {
			return nil, fmt.Errorf("entry %s: %w", e.Name, err)
		}
	}
	c.states = stateBounds(open)
	graphs := make([]*ir.Graph, len(entries))
	for i, e := range entries {
		graphs[i] = e.Graph
	}
	o.Choices.Lowered(graphs)
	for _, e := range open {
		e.bounds = newBounds(c.states)
	}
	var group errgroup.Group
	for _, e := range open {
		group.Go(func() error {
			if err := e.lowerNodes(); err != nil {
				return fmt.Errorf("entry %s: %w", e.name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, e := range open {
		if err := e.close(); err != nil {
			return nil, fmt.Errorf("entry %s: %w", e.name, err)
		}
	}
	if err := c.prepare(); err != nil {
		return nil, fmt.Errorf("preparation: %w", err)
	}
	p := c.plan
	p.Model, p.Tokens, p.Options, p.Compiler, p.Decisions = o.Model, o.Tokens, o.Meta, o.Compiler, o.Decisions
	p.MSL, p.Needs = plan.Capabilities(p.Kernels)
	p.Options.CommandBuffers = o.CommandBuffers
	if err := p.Rehash(); err != nil {
		return nil, err
	}
	return p, nil
}
