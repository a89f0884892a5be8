package cpu

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
)

// sketch is a kernel written by hand: its signature is made from the slots.
type sketch struct {
	name    string
	slots   []plan.Slot
	arrays  []plan.ThreadgroupArg
	threads int
	prelude string
	body    string // of the kernel; line 3 of the file
}

func slot(access plan.Access, typ, name string) plan.Slot {
	return plan.Slot{Name: name, Type: typ, Space: "device", Access: access}
}

func array(typ, name string, bytes int) plan.ThreadgroupArg {
	return plan.ThreadgroupArg{Name: name, Type: typ, Bytes: bytes}
}

func (s sketch) kernel() plan.Kernel {
	args := ""
	for i, a := range s.slots {
		konst := ""
		if a.Access == plan.Read {
			konst = "const "
		}
		args += fmt.Sprintf("device %s%s* %s [[buffer(%d)]], ", konst, a.Type, a.Name, i)
	}
	for i, a := range s.arrays {
		args += fmt.Sprintf("threadgroup %s* %s [[threadgroup(%d)]], ", a.Type, a.Name, i)
	}
	return plan.Kernel{
		Name: s.name, File: "kernels/" + s.name + ".metal",
		Source: "#include <metal_stdlib>\nusing namespace metal; " + s.prelude + " kernel void " + s.name + "(" + args +
			"uint3 group [[threadgroup_position_in_grid]], uint tid [[thread_index_in_threadgroup]], " +
			"uint sg [[simdgroup_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]]) {\n" + s.body + "\n}\n",
		Slots: s.slots, Threadgroup: s.arrays, Threads: [3]int{s.threads, 1, 1},
		Builtins: []plan.Builtin{plan.ThreadgroupPosition, plan.ThreadIndex, plan.SimdgroupIndex, plan.LaneIndex},
	}
}

// rig loads sketches on a device and runs them.
type rig struct {
	testing.TB
	d    *Device
	prog fruntime.Program
}

func load(t testing.TB, o Options, kernels ...sketch) *rig {
	t.Helper()
	d := open(t, o)
	p := &plan.Plan{}
	for _, k := range kernels {
		p.Kernels = append(p.Kernels, k.kernel())
	}
	prog, err := d.Load(context.Background(), p, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, prog.Close()) })
	return &rig{t, d, prog}
}

func (r *rig) alloc(bytes int) fruntime.Memory {
	r.Helper()
	m, err := r.d.Alloc(int64(bytes), fruntime.Shared)
	require.NoError(r, err)
	r.Cleanup(func() { require.NoError(r, m.Free()) })
	return m
}

func (r *rig) put(v any) fruntime.Memory {
	r.Helper()
	b, err := binary.Append(nil, binary.LittleEndian, v)
	require.NoError(r, err)
	m := r.alloc(len(b))
	require.NoError(r, m.Write(0, b))
	return m
}

func get[E any](t testing.TB, m fruntime.Memory, n int) []E {
	t.Helper()
	v := make([]E, n)
	b := make([]byte, binary.Size(v))
	require.NoError(t, m.Read(0, b))
	_, err := binary.Decode(b, binary.LittleEndian, v)
	require.NoError(t, err)
	return v
}

func bind(a plan.Access, m fruntime.Memory) fruntime.Operand {
	return fruntime.Operand{Memory: m, Bytes: m.Bytes(), Access: a}
}

func launch(kernel int, groups int64, ops ...fruntime.Operand) *fruntime.Launch {
	return &fruntime.Launch{Kernel: kernel, Grid: [3]int64{groups, 1, 1}, Bind: ops}
}

// run executes launches, all of one wave, and returns Wait's error.
func (r *rig) run(launches ...*fruntime.Launch) error {
	r.Helper()
	enc, err := r.prog.Begin()
	require.NoError(r, err)
	for _, l := range launches {
		require.NoError(r, enc.Dispatch(l))
	}
	require.NoError(r, enc.Commit())
	return enc.Wait()
}
