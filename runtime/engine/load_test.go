package engine

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/target"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/runtime"
)

// holding is a device that holds memory and runs nothing.
type holding struct {
	live, closed int
	lost         error // of a load
	loads        int
}

type heldMemory struct {
	d     *holding
	bytes int64
}

func (d *holding) Info() runtime.Info { return runtime.Info{Kind: "holding", Name: "a device"} }

func (d *holding) Close() error { d.closed++; return nil }

func (d *holding) Alloc(bytes int64, _ runtime.Use) (runtime.Memory, error) {
	d.live++
	return &heldMemory{d, bytes}, nil
}

func (d *holding) Load(context.Context, *plan.Plan, runtime.Progress) (runtime.Program, error) {
	d.loads++
	return d, d.lost
}

func (d *holding) Begin() (runtime.Encoder, error) { return nil, errors.New("runs nothing") }

func (m *heldMemory) Bytes() int64              { return m.bytes }
func (m *heldMemory) Write(int64, []byte) error { return nil }
func (m *heldMemory) Read(int64, []byte) error  { return nil }
func (m *heldMemory) Free() error               { m.d.live--; return nil }

// An engine owns the device that it is loaded on, and gives it back with all memory, also
// where it cannot be loaded; one that is shared stays open, with the weights.
func TestLoadOwnsItsDevice(t *testing.T) {
	m := embedded(t)
	c, err := compile.Model(m, compile.Options{Context: 16})
	require.NoError(t, err)
	dev := &holding{}
	e, err := Load(t.Context(), dev, m, c.Plan, c.Graphs, nil)
	require.NoError(t, err)
	require.Equal(t, "holding", e.Device)
	require.Same(t, m, e.Model())
	require.Positive(t, dev.live)
	require.Zero(t, dev.closed)
	require.NoError(t, e.Close())
	require.Zero(t, dev.live)
	require.Equal(t, 2, dev.closed, "the program, which is the device, and the device")

	dev = &holding{lost: errors.New("lost")}
	_, err = Load(t.Context(), dev, m, c.Plan, c.Graphs, nil)
	require.ErrorIs(t, err, dev.lost)
	require.Equal(t, 1, dev.closed)

	dev, shared := &holding{}, runtime.NewWeights()
	e, err = LoadShared(t.Context(), dev, shared, m, c.Plan, c.Graphs, nil)
	require.NoError(t, err)
	require.Equal(t, "holding", e.Device)
	require.NoError(t, e.Close())
	require.Equal(t, 1, dev.closed, "the program alone")
	require.Positive(t, dev.live, "the weights")
	require.NoError(t, shared.Close())
	require.Zero(t, dev.live)

	other := *c.Plan
	other.Model.Vocab++
	dev = &holding{}
	_, err = Load(t.Context(), dev, m, &other, c.Graphs, nil)
	require.Error(t, err, "a plan of another model")
	require.Zero(t, dev.loads)
	require.Equal(t, 1, dev.closed)
	_, err = LoadShared(t.Context(), dev, shared, m, &other, c.Graphs, nil)
	require.Error(t, err)
	require.Equal(t, 1, dev.closed)
}

// What nobody asked for is compiled for a GPU of the device's maker, whether there is one or
// not, and for the default target elsewhere.
func TestTargetsOfDevices(t *testing.T) {
	for device, family := range map[string]string{CUDA: "nvidia", Metal: "apple"} {
		own, err := target.Find(Defaults(device, compile.Options{}).Target)
		require.NoError(t, err)
		require.Equal(t, family, own.Family)
	}
	for _, device := range []string{CPU, Ref, Auto, "none"} {
		require.Equal(t, target.Default, Defaults(device, compile.Options{}).Target)
	}
}
