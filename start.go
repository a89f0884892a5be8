package foundry

import (
	"context"
	"fmt"
)

// StartOptions say how Start gets a model running.
type StartOptions struct {
	Compile  CompileOptions // Compile.Device says where: Ref, CPU or Auto
	PlanDir  string         // run this bundle instead of compiling
	Progress Progress
	Say      func(line string) // told what Auto took and why, and other notes; nil: nobody
}

// Start is the way from a model to an Engine in one call: it compiles for the
// device, or reads a plan, and loads the weights.
func Start(ctx context.Context, m *Model, o StartOptions) (*Engine, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	g, err := Fuse(m, o.Compile)
	if err != nil {
		return nil, err
	}
	for _, note := range g.Notes {
		o.Say(fmt.Sprintf("%s: %s", m.Name, note))
	}
	return Interpret(ctx, g)
}
