package devicetest

import (
	"context"
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	"foundry/runtime"
)

var increment = source{
	name:     "increment",
	slots:    []plan.Slot{inout("x", "uint")},
	builtins: []plan.Builtin{plan.ThreadIndex},
	threads:  [3]int{4, 1, 1},
	body:     `    x[thread_index] += 1u;`,
}

// compileError: the error names the kernel and the line of its text.
func compileError(r *rig) {
	broken := increment
	broken.name = "does_not_compile"
	broken.body = "    uint fine = 1u;\n    x[thread_index] += fine + no_such_name;"
	p := planOf(increment, broken)
	line := 0
	for i, text := range strings.Split(p.Kernels[1].Source, "\n") {
		if strings.Contains(text, "no_such_name") {
			line = i + 1
		}
	}
	prog, err := r.dev.Load(context.Background(), p, nil)
	require.Error(r, err)
	require.Nil(r, prog)
	require.ErrorContains(r, err, "does_not_compile")
	require.ErrorContains(r, err, fmt.Sprintf(":%d", line))
	require.ErrorContains(r, err, "no_such_name")
}

// operandErrors: a launch that the plan's verifier would not let through is an
// error somewhere between Dispatch and Wait, and the program goes on.
func operandErrors(r *rig) {
	prog, m := r.load(increment), r.alloc(16)
	defer m.Free()
	good := []runtime.Operand{whole(m, 16, plan.ReadWrite)}
	grid := [3]int64{1, 1, 1}
	launches := map[string]*runtime.Launch{
		"no such kernel":        {Kernel: 1, Grid: grid, Bind: good},
		"operand missing":       {Grid: grid},
		"operand too many":      {Grid: grid, Bind: append(good, good...)},
		"operand behind memory": {Grid: grid, Bind: []runtime.Operand{{Memory: m, Offset: m.Bytes(), Bytes: 16, Access: plan.ReadWrite}}},
		"negative offset":       {Grid: grid, Bind: []runtime.Operand{{Memory: m, Offset: -16, Bytes: 16, Access: plan.ReadWrite}}},
	}
	for name, l := range launches {
		l.Label = name
		require.Error(r, launch(prog, l), name)
	}
	before := get[uint32](r, m, 4)
	require.Equal(r, make([]uint32, 4), before, "no refused launch has run")
	r.once(prog, grid, good...)
	require.Equal(r, []uint32{1, 1, 1, 1}, get[uint32](r, m, 4))
}

// launch runs l alone and returns the first error.
func launch(prog runtime.Program, l *runtime.Launch) error {
	enc, err := prog.Begin()
	if err != nil {
		return err
	}
	dispatched := enc.Dispatch(l)
	committed := enc.Commit()
	if committed == nil {
		committed = enc.Wait()
	}
	if dispatched != nil {
		return dispatched
	}
	return committed
}

func cancelledLoad(r *rig) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := r.dev.Load(ctx, planOf(increment), nil)
	require.ErrorIs(r, err, context.Canceled)
}
