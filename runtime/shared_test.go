package runtime

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// adopting is a device that reads a weight where it lies.
type adopting struct {
	*fake
	adopted [][2]int64 // offsets and bytes
	refuses bool       // a GPU that cannot
}

func (d *adopting) Adopt(pages []byte, offset, bytes int64) (Memory, error) {
	if err := d.note("adopt", ""); err != nil || d.refuses {
		return nil, err
	}
	d.adopted = append(d.adopted, [2]int64{offset, bytes})
	d.alive(1)
	return &fakeMemory{f: d.fake, b: pages[offset : offset+bytes]}, nil
}

// lending is a source whose weights lie in pages, from an offset on.
type lending struct {
	weightsFunc
	offset int64
	pages  func(b *plan.Buffer) []byte
}

func (l lending) Lend(b *plan.Buffer) ([]byte, int64) { return l.pages(b), l.offset }

// A weight is read where it lies where source and device can do that, its place is a
// multiple of 16 bytes and it is kept as it is stored; else it is copied.
func TestAdoptedWeights(t *testing.T) {
	content, err := toySource(nil)
	require.NoError(t, err)
	lend := func(offset int64) lending {
		return lending{toySource, offset, func(*plan.Buffer) []byte { return append(make([]byte, offset), content...) }}
	}
	copies := lending{toySource, 0, func(*plan.Buffer) []byte { return nil }}
	for name, c := range map[string]struct {
		source  WeightSource
		refuses bool
		plain   bool // a device that adopts nothing
		at      int64
	}{
		"at the beginning": {source: lend(0), at: 0}, "behind others": {source: lend(32), at: 32}, "by sixteen": {source: lend(48), at: 48},
		"askew": {source: lend(8), at: -1}, "almost": {source: lend(17), at: -1}, "not in a file": {source: copies, at: -1}, "a source of copies": {source: toySource, at: -1},
		"a GPU that cannot": {source: lend(0), refuses: true, at: -1}, "another device": {source: lend(0), plain: true, at: -1},
	} {
		dev := &adopting{fake: newFake(toyKernels(false)), refuses: c.refuses}
		var on Device = dev
		if c.plain {
			on = dev.fake
		}
		x, err := New(background, on, toyPlan(false), c.source, nil)
		require.NoError(t, err, name)
		if c.at < 0 {
			require.Empty(t, dev.adopted, name)
			require.Equal(t, 1, dev.calls["write"], name)
		} else {
			require.Equal(t, [][2]int64{{c.at, 124}}, dev.adopted, name)
			require.Zero(t, dev.calls["write"], name)
		}
		in, err := x.NewInstance()
		require.NoError(t, err)
		token, err := in.Prefill(background, 0, []int32{3, 1, 4})
		require.NoError(t, err)
		require.Equal(t, toyGreedy([]int32{3, 1, 4}, 1)[0], token, name)
		require.NoError(t, errors.Join(in.Close(), x.Close()))
		require.Zero(t, dev.live, name)
	}
	dev := &adopting{fake: newFake(toyKernels(false))}
	dev.failAt["adopt"] = 1
	_, err = New(background, dev, toyPlan(false), lend(0), nil)
	require.ErrorIs(t, err, errInjected)
	require.Zero(t, dev.live)

	x := &Executable{device: dev}
	for _, b := range []*plan.Buffer{{Class: plan.Constant, Bytes: 8}, {Class: plan.Weight, Bytes: 8, Weight: &plan.WeightRecipe{Kind: plan.Planes}}} {
		m, err := x.adopt(b, lend(0))
		require.NoError(t, err)
		require.Nil(t, m, "made, not stored")
	}
}

// preparing is the toy with a preparation that makes ranges of its weight, each time others.
func preparing(runs *int) (*plan.Plan, *fake) {
	p, dev := toyPlan(false), newFake(toyKernels(false))
	p.Kernels = append(p.Kernels, plan.Kernel{Name: "measure", Source: "kernel void measure() {}", Threads: [3]int{1, 1, 1}, Slots: []plan.Slot{
		{Name: "w", Type: "float", Space: "device", Access: plan.Read}, {Name: "ranges", Type: "float", Space: "device", Access: plan.Write}}})
	p.Buffers = append(p.Buffers, plan.Buffer{Name: "ranges", Role: plan.RangesBuffer, Class: plan.Prepared, Bytes: 16, DType: dtype.F32, Shape: []sym.Dim{sym.Const(4)}})
	one := plan.GridDim{N: sym.Const(1), Div: 1}
	p.Prepare = &plan.Entry{Name: "prepare", Role: plan.Prepare, TMin: 1, TMax: 1, CommandBuffers: []plan.CommandBuffer{{First: 0, Last: 1}}, Steps: []plan.Step{{Dispatch: &plan.Dispatch{
		Kernel: 3, Label: "measure", Layer: -1, Grid: [3]plan.GridDim{one, one, one},
		Bind: []plan.Binding{{Buffer: 3, Bytes: 124, Access: plan.Read}, {Buffer: 8, Bytes: 16, Access: plan.Write}},
	}}}}
	dev.kernels["measure"] = func(_ [3]int64, b [][]byte) error {
		*runs++
		setFloat(b[1], 3, float(b[0], 1)*float32(*runs))
		return nil
	}
	return p, dev
}

// What is prepared is made once, by the first session for all of them; a preparation that
// fails fails for all of them.
func TestPreparedOnce(t *testing.T) {
	runs := 0
	p, dev := preparing(&runs)
	x, err := New(background, dev, p, toySource, nil)
	require.NoError(t, err)
	for range 2 {
		in, err := x.NewInstance()
		require.NoError(t, err)
		b := make([]byte, 16)
		require.NoError(t, in.Read("ranges", b))
		require.Equal(t, toyWeights()[1], float(b, 3))
		require.NoError(t, in.Close())
	}
	require.Equal(t, 1, runs)
	require.Equal(t, []string{"weights: read and convert", "weights: upload", "prepare"}, phaseNames(x.Startup()))
	require.NoError(t, x.Close())

	p, dev = preparing(&runs)
	x, err = New(background, dev, p, toySource, nil)
	require.NoError(t, err)
	dev.failAt["commit"] = 1
	for range 2 {
		_, err = x.NewInstance()
		require.ErrorIs(t, err, errInjected)
		require.ErrorContains(t, err, "preparation: ")
	}
	require.NoError(t, x.Close(), "no session is open")
	require.Zero(t, dev.live)
}

func phaseNames(phases []Phase) (out []string) {
	for _, p := range phases {
		out = append(out, p.Name)
	}
	return out
}

// Whatever fails while tokens are drawn is told, and behind it the same tokens are drawn as
// if nothing had been.
func TestFaultsOfDraws(t *testing.T) {
	for _, records := range []bool{false, true} {
		in, dev := drawer(t, records)
		draw := func() ([]int32, error) {
			if _, err := in.Prefill(background, 0, []int32{3, 1, 4}); err != nil {
				return nil, err
			}
			first, err := in.Choose(background, toyHow)
			if err != nil {
				return nil, err
			}
			if _, err := in.Logits(); err != nil {
				return nil, err
			}
			other := toyHow
			other.Temperature, other.TopK, other.Seed = 25, 1, 8
			ids, err := in.DrawN(background, 3, first, 4, false, other)
			return append([]int32{first}, ids...), err
		}
		want, err := draw()
		require.NoError(t, err)
		for _, op := range []string{"begin", "dispatch", "barrier", "commit", "run", "wait", "read", "write"} {
			for n := 1; ; n++ {
				dev.calls[op], dev.failAt[op] = 0, n
				_, err := draw()
				dev.failAt[op] = 0
				if dev.calls[op] < n {
					require.NoError(t, err)
					break
				}
				require.ErrorIs(t, err, errInjected, "%s %d", op, n)
				have, err := draw()
				require.NoError(t, err, "%s %d", op, n)
				require.Equal(t, want, have, "%s %d", op, n)
			}
		}
	}
}

// Plans that share weights make each once; constants are each plan's own. The weights
// outlive the plans.
func TestSharingPlans(t *testing.T) {
	with, dev, asked := NewWeights(), newFake(toyKernels(false)), 0
	source := weightsFunc(func(b *plan.Buffer) ([]byte, error) {
		asked++
		return toySource(b)
	})
	load := func() *Executable {
		p := toyPlan(false)
		p.Buffers = append(p.Buffers, plan.Buffer{Name: "c", Class: plan.Constant, Bytes: 8, DType: dtype.F32, Shape: []sym.Dim{sym.Const(2)}, Values: []float32{1, -2}})
		x, err := NewSharing(background, dev, p, source, with, nil)
		require.NoError(t, err)
		return x
	}
	one, two := load(), load()
	require.Equal(t, 1, asked)
	require.Same(t, one.shared[3], two.shared[3])
	require.NotSame(t, one.shared[8], two.shared[8])
	require.NoError(t, one.Close())
	in, err := two.NewInstance()
	require.NoError(t, err)
	token, err := in.Prefill(background, 0, []int32{3, 1, 4})
	require.NoError(t, err)
	require.Equal(t, toyGreedy([]int32{3, 1, 4}, 1)[0], token)
	require.NoError(t, errors.Join(in.Close(), two.Close()))
	require.Equal(t, 1, dev.live, "the weights")
	require.NoError(t, with.Close())
	require.Zero(t, dev.live)
}

// mappedSource is a source whose file is cut once cut is set.
type mappedSource struct {
	weightsFunc
	cut error
}

func (m *mappedSource) Whole() error { return m.cut }

// A file that is cut is the cause of what fails, before a run and in it, where kernels read
// it in place; of a device that has copies it is not.
func TestCutFiles(t *testing.T) {
	cut := errors.New("w.safetensors was cut")
	for _, inPlace := range []bool{true, false} {
		source, fail := &mappedSource{weightsFunc: toySource}, false
		dev := newFake(toyKernels(false))
		score := dev.kernels["score"]
		dev.kernels["score"] = func(g [3]int64, b [][]byte) error {
			if fail {
				source.cut = cut
				return errInjected
			}
			return score(g, b)
		}
		var on Device = dev
		if inPlace {
			on = &adopting{fake: dev}
		}
		x, err := New(background, on, toyPlan(false), source, nil)
		require.NoError(t, err)
		in, err := x.NewInstance()
		require.NoError(t, err)
		_, err = in.Prefill(background, 0, []int32{3, 1})
		require.NoError(t, err)
		fail = true
		want := map[bool]error{true: cut, false: errInjected}[inPlace]
		_, err = in.Prefill(background, 0, []int32{3, 1})
		require.ErrorIs(t, err, want)
		fail = false
		commits := dev.calls["commit"]
		_, err = in.Prefill(background, 0, []int32{3, 1})
		if inPlace {
			require.ErrorIs(t, err, cut)
			require.Equal(t, commits, dev.calls["commit"], "nothing ran")
		} else {
			require.NoError(t, err)
		}
		require.NoError(t, errors.Join(in.Close(), x.Close()))
	}
	source := &mappedSource{weightsFunc: func(*plan.Buffer) ([]byte, error) { return nil, errInjected }, cut: cut}
	_, err := New(background, newFake(toyKernels(false)), toyPlan(false), source, nil)
	require.ErrorIs(t, err, cut, "while weights are read")
}
