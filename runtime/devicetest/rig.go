package devicetest

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
	"foundry/runtime"
)

// rig is a test with a device: it loads kernels, fills memory and runs.
type rig struct {
	*testing.T
	dev runtime.Device
}

// source describes a kernel; its signature is written from the same data that
// the plan declares, in the order every device relies on.
type source struct {
	name        string
	prelude     string // declarations before the kernel
	slots       []plan.Slot
	threadgroup []plan.ThreadgroupArg
	builtins    []plan.Builtin
	threads     [3]int
	body        string
}

// in, out and inout declare a device buffer argument of element type typ.
func in(name, typ string) plan.Slot {
	return plan.Slot{Name: name, Type: typ, Space: "device", Access: plan.Read}
}
func out(name, typ string) plan.Slot {
	return plan.Slot{Name: name, Type: typ, Space: "device", Access: plan.Write}
}
func inout(name, typ string) plan.Slot {
	return plan.Slot{Name: name, Type: typ, Space: "device", Access: plan.ReadWrite}
}

// argument names and types of the built-ins, as in kernel text.
var builtinArgs = map[plan.Builtin]string{
	plan.ThreadgroupPosition: "uint3 group",
	plan.ThreadgroupsPerGrid: "uint3 groups",
	plan.ThreadPosition:      "uint3 position",
	plan.ThreadIndex:         "uint thread_index",
	plan.SimdgroupIndex:      "uint simdgroup_index",
	plan.LaneIndex:           "uint lane",
}

func (s source) kernel() plan.Kernel {
	var args []string
	for i, slot := range s.slots {
		switch {
		case slot.Space == "constant":
			args = append(args, fmt.Sprintf("constant %s &%s [[buffer(%d)]]", slot.Type, slot.Name, i))
		case slot.Access == plan.Read:
			args = append(args, fmt.Sprintf("device const %s *%s [[buffer(%d)]]", slot.Type, slot.Name, i))
		default:
			args = append(args, fmt.Sprintf("device %s *%s [[buffer(%d)]]", slot.Type, slot.Name, i))
		}
	}
	for i, a := range s.threadgroup {
		args = append(args, fmt.Sprintf("threadgroup %s *%s [[threadgroup(%d)]]", a.Type, a.Name, i))
	}
	for _, b := range s.builtins {
		args = append(args, fmt.Sprintf("%s [[%s]]", builtinArgs[b], b))
	}
	text := "#include <metal_stdlib>\nusing namespace metal;\n#pragma METAL fp contract(off)\n" + s.prelude +
		"\nkernel void " + s.name + "(\n    " + strings.Join(args, ",\n    ") + ")\n{\n" + s.body + "\n}\n"
	return plan.Kernel{
		Name: s.name, File: "kernels/" + s.name + ".metal", Source: text,
		Slots: s.slots, Threadgroup: s.threadgroup, Builtins: s.builtins, Threads: s.threads,
	}
}

func planOf(sources ...source) *plan.Plan {
	p := &plan.Plan{Schema: plan.Schema, MSL: "3.0"}
	for _, s := range sources {
		p.Kernels = append(p.Kernels, s.kernel())
	}
	return p
}

// load compiles the kernels; the program is closed when the test ends.
func (r *rig) load(sources ...source) runtime.Program {
	r.Helper()
	prog, err := r.dev.Load(context.Background(), planOf(sources...), nil)
	require.NoError(r, err)
	r.Cleanup(func() { require.NoError(r, prog.Close()) })
	return prog
}

// alloc returns zeroed memory that is freed before the device closes.
func (r *rig) alloc(bytes int64) runtime.Memory {
	r.Helper()
	m, err := r.dev.Alloc(bytes, runtime.Shared)
	require.NoError(r, err)
	require.GreaterOrEqual(r, m.Bytes(), bytes)
	return m
}

// put returns memory that holds v, a slice of fixed-size numbers.
func (r *rig) put(v any) runtime.Memory {
	r.Helper()
	b, err := binary.Append(nil, binary.LittleEndian, v)
	require.NoError(r, err)
	m := r.alloc(int64(len(b)))
	require.NoError(r, m.Write(0, b))
	return m
}

// get reads n elements from the start of m.
func get[E any](r *rig, m runtime.Memory, n int) []E {
	r.Helper()
	v := make([]E, n)
	b := make([]byte, binary.Size(v))
	require.NoError(r, m.Read(0, b))
	_, err := binary.Decode(b, binary.LittleEndian, v)
	require.NoError(r, err)
	return v
}

// whole binds all bytes of m that were asked for.
func whole(m runtime.Memory, bytes int64, a plan.Access) runtime.Operand {
	return runtime.Operand{Memory: m, Bytes: bytes, Access: a}
}

// run encodes one command buffer, submits it and waits.
func (r *rig) run(prog runtime.Program, encode func(runtime.Encoder)) {
	r.Helper()
	enc, err := prog.Begin()
	require.NoError(r, err)
	encode(enc)
	require.NoError(r, enc.Commit())
	require.NoError(r, enc.Wait())
}

// once runs a single dispatch of kernel 0.
func (r *rig) once(prog runtime.Program, grid [3]int64, bind ...runtime.Operand) {
	r.Helper()
	r.run(prog, func(enc runtime.Encoder) {
		require.NoError(r, enc.Dispatch(&runtime.Launch{Label: r.Name(), Grid: grid, Bind: bind}))
	})
}
