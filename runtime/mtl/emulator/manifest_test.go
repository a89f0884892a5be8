package emulator

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/lower/plan"
)

// two is a plan of two kernels, of which entries dispatch the first alone.
func two() *plan.Plan {
	dispatch := func(bytes ...int64) plan.Step {
		d := &plan.Dispatch{}
		for _, n := range bytes {
			d.Bind = append(d.Bind, plan.Binding{Bytes: n})
		}
		return plan.Step{Dispatch: d}
	}
	return &plan.Plan{
		Kernels: []plan.Kernel{
			{Name: "scale", Slots: []plan.Slot{{Name: "x", Access: plan.Read}, {Name: "y", Access: plan.ReadWrite}, {Name: "z", Access: plan.Write}},
				Threadgroup: []plan.ThreadgroupArg{{Bytes: 64}, {Bytes: 128}}},
			{Name: "spare", Slots: []plan.Slot{{Name: "a", Access: plan.Read}}},
		},
		Entries: []plan.Entry{{Steps: []plan.Step{dispatch(16, 64, 4), {Barrier: true}, dispatch(32, 8, 4)}}, {Steps: []plan.Step{dispatch(24, 24, 24)}}},
	}
}

// A manifest says of each kernel what its slots read, write and touch at most, in any
// dispatch of any entry; of a kernel that nothing dispatches, all that is bound.
func TestManifest(t *testing.T) {
	p := two()
	require.Equal(t, []map[int]int64{{0: 32, 1: 64, 2: 24}, nil}, touched(p))
	require.Equal(t, `foundry emulated-metal 1
kernel 0 scale
slot x 1 0 32
slot y 1 1 64
slot z 0 1 24
array 64
array 128
kernel 1 spare
slot a 1 0 1099511627776
`, manifest(p))
}

// A folder is replaced where it is empty or an earlier framework's; of another it is said.
func TestReplaceable(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, manifest := range map[string]string{"ours": "foundry emulated-metal 0\n", "theirs": "foundry plan\n", "cut": "foundry emulated"} {
		require.NoError(t, os.Mkdir(at(name), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(at(name), manifestFile), []byte(manifest), 0o600))
	}
	require.NoError(t, os.Mkdir(at("empty"), 0o700))
	require.NoError(t, os.MkdirAll(at("full/kernels"), 0o700))
	require.NoError(t, os.WriteFile(at("file"), nil, 0o600))
	for name, want := range map[string][2]bool{ // exists, may be replaced
		"none": {false, true}, "empty": {true, true}, "ours": {true, true}, "theirs": {true, false}, "cut": {true, false}, "full": {true, false}, "file": {true, false},
	} {
		exists, err := replaceable(at(name))
		require.Equal(t, want[0], exists, name)
		if want[1] {
			require.NoError(t, err, name)
		} else {
			require.EqualError(t, err, at(name)+" is no folder of an emulated framework; choose another")
		}
	}
}
