package cpu

import (
	"context"

	"foundry/lower/plan"
)

// Host is what another host of the executor needs to run kernels through its C
// interface (msl.ABI): the addresses of foundry_open and foundry_run.
type Host struct{ Open, Run uintptr }

// Host returns the executor's addresses; they stay for the life of the process.
func (d *Device) Host() Host { return Host{d.exec.open, d.exec.run} }

// Module compiles the plan's kernels and returns the address of their
// foundry_module_table, in the order of the plan. It is never unloaded.
func (d *Device) Module(ctx context.Context, p *plan.Plan) (uintptr, error) {
	g, err := d.Load(ctx, p, nil)
	if err != nil {
		return 0, err
	}
	return g.(*program).module, nil
}
