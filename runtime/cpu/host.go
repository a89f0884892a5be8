package cpu

import (
	"context"
	"errors"
	"fmt"
	"os"

	"foundry/lower/plan"
	"foundry/runtime/files"
)

// Host is what another host of the executor needs to run kernels through its C
// interface (msl.ABI): the addresses of foundry_open and foundry_run.
type Host struct{ Open, Run uintptr }

// Host returns the executor's addresses; they stay for the life of the process.
func (d *Device) Host() Host { return Host{d.exec.open, d.exec.run} }

// CacheDir is the folder for what is compiled.
func (d *Device) CacheDir() string { return d.objects.dir }

// Module compiles the plan's kernels and returns the address of their
// foundry_module_table, in the order of the plan. It is never unloaded.
func (d *Device) Module(ctx context.Context, p *plan.Plan) (uintptr, error) {
	g, err := d.Load(ctx, p, nil)
	if err != nil {
		return 0, err
	}
	return g.(*program).module, nil
}

// Export writes the executor and the plan's kernels as shared objects, for hosts in other
// languages. The kernels have passed the gate, as for Load.
func (d *Device) Export(ctx context.Context, p *plan.Plan, executor, kernels string) (err error) {
	g, err := d.Load(ctx, p, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	for from, to := range map[string]string{d.exec.path: executor, g.(*program).path: kernels} {
		content, err := files.Read(from, maxObjectBytes)
		if err == nil {
			err = os.WriteFile(to, content, 0o666)
		}
		if err != nil {
			return fmt.Errorf("cpu: %w", err)
		}
	}
	return nil
}
