package mtl

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
)

// TestRunThatFails frees what a recording writes: the run is an error, and what it
// had begun is committed, so that Wait returns and the program closes.
func TestRunThatFails(t *testing.T) {
	e := emulate(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e.Prepare(context.Background(), copyPlan())
	d, err := openOn(e, Options{})
	require.NoError(t, err)
	g, err := d.Load(context.Background(), copyPlan(), nil)
	require.NoError(t, err)
	var m [3]fruntime.Memory
	for i := range m {
		m[i], err = d.Alloc(128, fruntime.Shared)
		require.NoError(t, err)
	}
	rec, err := g.(*program).Record(func(enc fruntime.Encoder) error {
		for i := range 2 {
			if err := enc.Dispatch(&fruntime.Launch{Label: "copy", Grid: [3]int64{1, 1, 1}, Bind: []fruntime.Operand{
				{Memory: m[0], Bytes: 128, Access: plan.Read}, {Memory: m[i+1], Bytes: 128, Access: plan.Write}}}); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, m[2].Free())
	require.EqualError(t, rec.Run(), `metal: copy: the memory of operand "y" was freed`)
	require.Zero(t, e.Pools())
	require.NoError(t, rec.Wait())
	require.NoError(t, rec.Close())

	enc, err := g.Begin()
	require.NoError(t, err)
	require.EqualError(t, enc.Wait(), "metal: nobody committed the command buffer that is waited for")
	require.EqualError(t, g.Close(), "metal: the program is closed while a command buffer is encoded: commit it first")
	require.NoError(t, enc.Commit())
	require.NoError(t, g.Close())
	require.NoError(t, m[0].Free())
	require.NoError(t, m[1].Free())
	require.NoError(t, d.Close())
	require.Empty(t, e.Noted())
	require.Zero(t, e.Live())
}
