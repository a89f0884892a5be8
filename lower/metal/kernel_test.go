package metal

import (
	"errors"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"foundry/ir/task"
	"foundry/lower/msl"
	"foundry/lower/plan"
)

// What is bound once is one argument: read here and written there, it is both. Names that are
// taken, those of builtins too, get numbers.
func TestSlotsOfAKernel(t *testing.T) {
	k := newKernel("x", identity{main: plan.Rows, of: "y"})
	a := k.slot(ref{refArg, 0}, "x", "float", plan.Read)
	b := k.slot(ref{refArg, 1}, "x", "half", plan.Write)
	require.Same(t, a, k.slot(ref{refArg, 0}, "z", "float", plan.Read))
	require.Equal(t, plan.Read, k.slots[0].Access)
	require.Same(t, a, k.slot(ref{refArg, 0}, "z", "float", plan.Write))
	require.Same(t, b, k.slot(ref{refArg, 1}, "z", "half", plan.Write))
	c := k.slot(ref{refResult, 0}, "x", "float", plan.Write)
	require.Equal(t, []plan.Slot{
		{Name: "x", Type: "float", Space: "device", Access: plan.ReadWrite}, {Name: "x2", Type: "half", Space: "device", Access: plan.Write},
		{Name: "x3", Type: "float", Space: "device", Access: plan.Write},
	}, k.slots)
	require.Equal(t, []ref{{refArg, 0}, {refArg, 1}, {refResult, 0}}, k.refs)
	for i, v := range []*msl.Value{a, b, c} {
		require.Equal(t, k.slots[i].Name, v.String())
	}
	k.position()
	require.Equal(t, plan.Slot{Name: "step", Type: "Position", Space: "constant", Access: plan.Read}, k.slots[3])
	for _, argument := range plan.BuiltinArguments() {
		require.Equal(t, argument.Name+"2", k.fresh(argument.Name))
	}
	for bytes, want := range map[int]int{4: 16, 16: 16, 20: 32} {
		k.threadgroup("shared", "float", bytes)
		require.Equal(t, want, k.shared[len(k.shared)-1].Bytes)
	}
	require.Equal(t, []string{"shared", "shared2", "shared3"}, []string{k.shared[0].Name, k.shared[1].Name, k.shared[2].Name})
	require.True(t, k.isArgument("x3") && k.isArgument("shared2") && k.isArgument("step") && k.isArgument(plan.BuiltinArguments()[0].Name))
	require.False(t, k.isArgument("x4"))
}

// T and P come from the whole step where the kernel has that; what is read of it stands once.
func TestPositionsOfAKernel(t *testing.T) {
	k := newKernel("x", identity{main: plan.Rows})
	k.slot(ref{kind: refStep}, "step", "Step", plan.ReadWrite)
	require.Equal(t, "step[0]", k.position().String())
	require.Len(t, k.slots, 1)
	slot := k.slot(ref{refArg, 0}, "scale", "float", plan.Read)
	first := k.loadedOnce(slot, 3, "s")
	require.Same(t, first, k.loadedOnce(slot, 3, "s"))
	require.NotSame(t, first, k.loadedOnce(slot, 4, "s"))
	require.Len(t, k.head, 2)
	require.Empty(t, k.body)
	k.loadHere(func() { require.Same(t, first, k.loadedOnce(slot, 3, "s")) })()
	var inside *msl.Value
	end := k.loadHere(func() { inside = k.loadedOnce(slot, 5, "s") })
	require.Len(t, k.head, 2)
	require.Len(t, k.body, 1)
	require.Same(t, inside, k.loadedOnce(slot, 5, "s"))
	end()
	require.NotSame(t, inside, k.loadedOnce(slot, 5, "s"))
	require.Len(t, k.head, 3)
	require.Equal(t, "const float s = scale[3];\nconst float s2 = scale[4];\nconst float s4 = scale[5];\n", msl.Print(k.head, 0))
}

// A kernel that is no kernel, or whose stage is nowhere, says which.
func TestKernelsThatCannotBe(t *testing.T) {
	k := newKernel("rows_of_x", identity{main: plan.Rows})
	k.walks = []*task.Walk{{}, {Err: errors.New("an odd row")}}
	_, _, err := k.assemble()
	require.EqualError(t, err, "rows_of_x was chosen and cannot be written: an odd row")
	files := fstest.MapFS{"a.metal": {Data: []byte("// a\n")}}
	stages, err := stagesOf(&plan.Kernel{Stages: []string{"a.metal"}}, files)
	require.NoError(t, err)
	require.Equal(t, []plan.Stage{{Path: "a.metal", Text: "// a\n"}}, stages)
	_, err = stagesOf(&plan.Kernel{Stages: []string{"a.metal", "b.metal"}}, files)
	require.EqualError(t, err, "stage file b.metal: open b.metal: file does not exist")
}
