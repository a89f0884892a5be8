package runtime

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

type weightsFunc func(b *plan.Buffer) ([]byte, error)

func (f weightsFunc) Weight(b *plan.Buffer) ([]byte, error) { return f(b) }

var toySource = weightsFunc(func(b *plan.Buffer) ([]byte, error) {
	return binary.Append(nil, binary.LittleEndian, toyWeights())
})

// loadToy returns the toy on a fake; edit may change both before New.
func loadToy(t *testing.T, edit func(*plan.Plan, *fake)) (*Executable, *fake) {
	p := toyPlan(false)
	dev := newFake(toyKernels(false))
	if edit != nil {
		edit(p, dev)
	}
	x, err := New(context.Background(), dev, p, toySource, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, x.Close())
		require.Zero(t, dev.live, "everything is given back")
	})
	return x, dev
}

func newInstance(t *testing.T, x *Executable) *Instance {
	in, err := x.NewInstance()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, in.Close()) })
	return in
}

func TestToyPlanIsSound(t *testing.T) {
	require.NoError(t, toyPlan(false).Check())
	require.NoError(t, toyPlan(true).Check())
}

func TestExecutorOrder(t *testing.T) {
	x, dev := loadToy(t, nil)
	in := newInstance(t, x)
	dev.events()
	_, err := in.Prefill(context.Background(), 0, []int32{3, 1, 4})
	require.NoError(t, err)
	require.Equal(t, []string{
		"begin", "barrier", "dispatch remember", "barrier", "commit",
		"begin", "dispatch score", "barrier", "dispatch choose", "commit",
		"wait", "wait",
	}, dev.events())
}

// A decode step is encoded once where the program records; a prefill, whose
// grids depend on T, each time.
func TestRecorder(t *testing.T) {
	x, dev := loadToy(t, func(_ *plan.Plan, f *fake) { f.records = true })
	in := newInstance(t, x)
	ctx := context.Background()
	token, err := in.Prefill(ctx, 0, []int32{3, 1, 4})
	require.NoError(t, err)
	require.Equal(t, toyGreedy([]int32{3, 1, 4}, 1)[0], token)
	dev.events()
	got := []int32{token}
	for i := range 4 {
		token, err = in.Decode(ctx, 3+i, token)
		require.NoError(t, err)
		got = append(got, token)
	}
	require.Equal(t, toyGreedy([]int32{3, 1, 4}, 5), got)
	require.Equal(t, []string{"barrier", "dispatch remember", "barrier", "commit", "dispatch score", "barrier", "dispatch choose",
		"run", "wait", "run", "wait", "run", "wait", "run", "wait"}, dev.events())
}

// Several decode steps are one wait and one read of their tokens, and what they
// chose is what as many single steps choose.
func TestDecodeN(t *testing.T) {
	for _, records := range []bool{true, false} {
		x, dev := loadToy(t, func(_ *plan.Plan, f *fake) { f.records = records })
		in := newInstance(t, x)
		ctx := context.Background()
		prompt := []int32{3, 1, 4}
		want := toyGreedy(prompt, 10)
		token, err := in.Prefill(ctx, 0, prompt)
		require.NoError(t, err)
		dev.events()
		reads := dev.calls["read"]
		ids, err := in.DecodeN(ctx, 3, token, 4, false)
		require.NoError(t, err)
		require.Equal(t, want[1:5], ids)
		require.Equal(t, reads+2, dev.calls["read"], "the step and the history")
		if records {
			require.Equal(t, []string{"barrier", "dispatch remember", "barrier", "commit", "dispatch score", "barrier", "dispatch choose",
				"run", "run", "run", "run", "wait"}, dev.events())
		}
		logits, err := in.Logits()
		require.NoError(t, err)
		require.Equal(t, toyLogits(toyWeights(), append(prompt, want[:4]...)), logits, "of the last run")
		writes := dev.calls["write"]
		ids, err = in.DecodeN(ctx, 7, ids[3], 5, false)
		require.NoError(t, err, "to the last position of the context")
		require.Equal(t, want[5:10], ids)
		require.Equal(t, writes, dev.calls["write"], "the device knows how it goes on")
		_, err = in.DecodeN(ctx, 8, 1, 5, false)
		require.EqualError(t, err, "entry decode: 5 tokens at position 8, want 1 to 1 within a context of 12")
		_, err = in.DecodeN(ctx, 8, 1, 0, false)
		require.EqualError(t, err, "a batch of 0 tokens, want 1 to 12")
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		_, err = in.DecodeN(cancelled, 3, token, 2, false)
		require.ErrorIs(t, err, context.Canceled)
	}
}

// Without a history there is no batch.
func TestDecodeNWantsAHistory(t *testing.T) {
	x, _ := loadToy(t, func(p *plan.Plan, _ *fake) { p.Buffers[7].Role = plan.NoRole })
	in := newInstance(t, x)
	require.Zero(t, in.Limits().Batch)
	_, err := in.DecodeN(context.Background(), 0, 1, 1, false)
	require.Error(t, err)
	s := NewSession(in)
	require.NoError(t, s.Prefill(background, []int32{3, 1}))
	require.Equal(t, toyGreedy([]int32{3, 1}, 6), collect(t, s, 6, Sampling{}))
}

// Decode of the token that the device chose writes nothing; any other writes
// the step and the id.
func TestDecodeFollowsWithoutTheHost(t *testing.T) {
	x, dev := loadToy(t, nil)
	in := newInstance(t, x)
	ctx := context.Background()
	token, err := in.Prefill(ctx, 0, []int32{3, 1, 4})
	require.NoError(t, err)
	count := func(op string) int { return dev.calls[op] }
	writes := count("write")
	token, err = in.Decode(ctx, 3, token)
	require.NoError(t, err)
	require.Equal(t, writes, count("write"))
	forced := (token + 1) % toyVocab
	got, err := in.Decode(ctx, 4, forced)
	require.NoError(t, err)
	require.Equal(t, writes+2, count("write"))
	prefix := append([]int32{3, 1, 4}, toyGreedy([]int32{3, 1, 4}, 1)[0], forced)
	require.Equal(t, argmax(toyLogits(toyWeights(), prefix)), got)
	logits, err := in.Logits()
	require.NoError(t, err)
	require.Equal(t, toyLogits(toyWeights(), prefix), logits)
}

func TestErrorsOfARun(t *testing.T) {
	ctx := context.Background()
	t.Run("token", func(t *testing.T) {
		x, _ := loadToy(t, func(_ *plan.Plan, f *fake) {
			choose := f.kernels["choose"]
			f.kernels["choose"] = func(g [3]int64, b [][]byte) error {
				if id := word(b[4], 0); id == 9 {
					setWord(b[3], plan.StepError, plan.ErrToken)
					setWord(b[3], plan.StepErrorArg, 99)
				}
				return choose(g, b)
			}
		})
		in := newInstance(t, x)
		_, err := in.Prefill(ctx, 0, []int32{9, 1})
		require.EqualError(t, err, "prefill: token id 99 is outside the vocabulary of 16")
		_, err = in.Logits()
		require.ErrorContains(t, err, "nothing has run")
		token, err := in.Prefill(ctx, 0, []int32{3, 1, 4})
		require.NoError(t, err, "the error does not stay")
		require.Equal(t, toyGreedy([]int32{3, 1, 4}, 1)[0], token)
	})
	t.Run("step not advanced", func(t *testing.T) {
		x, _ := loadToy(t, func(_ *plan.Plan, f *fake) {
			f.kernels["choose"] = func([3]int64, [][]byte) error { return nil }
		})
		_, err := newInstance(t, x).Prefill(ctx, 0, []int32{3, 1})
		require.EqualError(t, err, "prefill: the run left T=2 P=0 S=2 in the step buffer, want 1, 2, 3")
	})
	t.Run("kernel", func(t *testing.T) {
		x, _ := loadToy(t, func(_ *plan.Plan, f *fake) {
			f.kernels["score"] = func([3]int64, [][]byte) error { return errors.New("out of bounds") }
		})
		_, err := newInstance(t, x).Prefill(ctx, 0, []int32{3, 1})
		require.EqualError(t, err, "prefill: kernel score: out of bounds")
	})
	for _, op := range []string{"begin", "dispatch", "barrier", "commit", "wait", "read", "write"} {
		t.Run("fault in "+op, func(t *testing.T) {
			x, dev := loadToy(t, nil)
			in := newInstance(t, x)
			for n := 1; ; n++ {
				dev.calls[op], dev.failAt[op] = 0, n
				_, err := in.Prefill(ctx, 0, []int32{3, 1})
				if dev.calls[op] < n {
					require.NoError(t, err)
					require.Greater(t, n, 1)
					break
				}
				require.ErrorIs(t, err, errInjected)
				dev.failAt[op] = 0
				token, err := in.Prefill(ctx, 0, []int32{3, 1, 4})
				require.NoError(t, err, "the session goes on")
				require.Equal(t, toyGreedy([]int32{3, 1, 4}, 1)[0], token)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		x, _ := loadToy(t, nil)
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		_, err := newInstance(t, x).Prefill(cancelled, 0, []int32{3})
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("ranges", func(t *testing.T) {
		x, _ := loadToy(t, nil)
		in := newInstance(t, x)
		_, err := in.Prefill(ctx, 0, []int32{1, 2, 3, 4, 5})
		require.EqualError(t, err, "entry prefill: 5 tokens at position 0, want 1 to 4 within a context of 12")
		_, err = in.Decode(ctx, 12, 1)
		require.ErrorContains(t, err, "position 12")
		_, err = in.Prefill(ctx, 0, nil)
		require.ErrorContains(t, err, "0 tokens")
		require.ErrorContains(t, in.Run(ctx, "decod", sym.Env{T: 1}), `did you mean "decode"?`)
		require.ErrorContains(t, in.Run(ctx, "decode", sym.Env{T: 2}), "T=2")
		require.NoError(t, in.Close())
		_, err = in.Decode(ctx, 0, 1)
		require.ErrorIs(t, err, errClosed)
	})
}

// Whatever fails while loading, nothing stays allocated.
func TestNewGivesBackOnFailure(t *testing.T) {
	for _, op := range []string{"load", "alloc", "write"} {
		for n := 1; ; n++ {
			dev := newFake(toyKernels(false))
			dev.failAt[op] = n
			x, err := New(context.Background(), dev, toyPlan(false), toySource, nil)
			var in *Instance
			if err == nil {
				if in, err = x.NewInstance(); err == nil {
					require.NoError(t, in.Close())
				}
				require.NoError(t, x.Close())
			}
			require.Zero(t, dev.live, "%s %d", op, n)
			if dev.calls[op] < n {
				require.NoError(t, err)
				break
			}
			require.ErrorIs(t, err, errInjected)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	ctx := context.Background()
	load := func(edit func(*plan.Plan, *fake), w WeightSource) error {
		p, dev := toyPlan(false), newFake(toyKernels(false))
		edit(p, dev)
		_, err := New(ctx, dev, p, w, nil)
		require.Zero(t, dev.live)
		return err
	}
	none := func(*plan.Plan, *fake) {}
	require.ErrorContains(t, load(func(p *plan.Plan, _ *fake) { p.Entries[0].Steps[0].Dispatch.Kernel = 5 }, toySource), "kernel 5 of 3")
	require.ErrorContains(t, load(func(p *plan.Plan, _ *fake) {
		for i := range p.Entries {
			p.Entries[i].Steps = slices.Delete(p.Entries[i].Steps, 1, 2)
			p.Entries[i].Steps[1].Dispatch.Wave, p.Entries[i].Steps[3].Dispatch.Wave = 0, 1
			p.Entries[i].CommandBuffers = []plan.CommandBuffer{{First: 0, Last: 4}}
		}
	}, toySource), "RAW hazard")
	require.EqualError(t, load(none, weightsFunc(func(*plan.Buffer) ([]byte, error) { return make([]byte, 5), nil })),
		"buffer w: 5 bytes of weights, the plan wants 124")
	require.EqualError(t, load(none, weightsFunc(func(*plan.Buffer) ([]byte, error) { return nil, errors.New("no tensor w") })),
		"buffer w: no tensor w")
	require.ErrorContains(t, load(func(_ *plan.Plan, f *fake) { f.info.MemoryBytes = 800 }, toySource), "fake has 800 B of memory")
}

func TestConstantsAndProgress(t *testing.T) {
	p := toyPlan(false)
	for dt, want := range map[dtype.Type][]byte{
		dtype.F32: {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, dtype.F16: {0, 0x3c, 0, 0xc0},
		dtype.BF16: {0x80, 0x3f, 0, 0xc0}, dtype.I32: {1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff},
	} {
		require.Equal(t, want, constantBytes(&plan.Buffer{DType: dt, Values: []float32{1, -2}}))
	}
	p.Buffers = append(p.Buffers, plan.Buffer{Name: "c", Class: plan.Constant, Bytes: 8, DType: dtype.F32,
		Shape: []sym.Dim{sym.Const(2)}, Values: []float32{1, -2}})
	dev := newFake(toyKernels(false))
	last := map[string][2]int64{}
	x, err := New(context.Background(), dev, p, toySource, func(what string, done, total int64) {
		require.Greater(t, done, last[what][0])
		last[what] = [2]int64{done, total}
	})
	require.NoError(t, err)
	defer x.Close()
	require.Equal(t, map[string][2]int64{"kernels": {3, 3}, "weights": {132, 132}}, last)
	in, err := x.NewInstance()
	require.NoError(t, err)
	defer in.Close()
	b := make([]byte, 8)
	require.NoError(t, in.Read("c", b))
	require.Equal(t, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, b)
	require.ErrorContains(t, in.Write("c", b), "all sessions share")
	require.ErrorContains(t, in.Read("c", make([]byte, 9)), "it has 8")
	require.ErrorContains(t, in.Read("d", b), `no buffer "d"`)
	require.ErrorContains(t, x.Close(), "1 sessions are open")
}

// Run drives any entry by hand: that is how a plan that is no language model's
// is executed.
func TestRunByHand(t *testing.T) {
	x, _ := loadToy(t, nil)
	in := newInstance(t, x)
	require.NoError(t, in.Write("ids", words(3, 1)))
	require.NoError(t, in.Run(context.Background(), "prefill", sym.Env{T: 2}))
	b := make([]byte, 4*toyVocab)
	require.NoError(t, in.Read("logits", b))
	want, err := binary.Append(nil, binary.LittleEndian, toyLogits(toyWeights(), []int32{3, 1}))
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, b))
}

func TestSessionsInGoroutines(t *testing.T) {
	for _, records := range []bool{false, true} {
		x, _ := loadToy(t, func(_ *plan.Plan, f *fake) { f.records = records })
		var wg sync.WaitGroup
		got, errs := make([][]int32, 6), make([]error, 6)
		for k := range got {
			wg.Go(func() {
				in, err := x.NewInstance()
				if err != nil {
					errs[k] = err
					return
				}
				s := NewSession(in)
				errs[k] = s.Prefill(context.Background(), []int32{int32(k), 5})
				for id, err := range s.Generate(context.Background(), 8, Sampling{}) {
					errs[k] = errors.Join(errs[k], err)
					got[k] = append(got[k], id)
				}
				errs[k] = errors.Join(errs[k], s.Close())
			})
		}
		wg.Wait()
		for k := range got {
			require.NoError(t, errs[k])
			require.Equal(t, toyGreedy([]int32{int32(k), 5}, 8), got[k])
		}
	}
}
