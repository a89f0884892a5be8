package runtime

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"foundry/ir/sampling"
	"foundry/lower/plan"
)

// drawing gives the toy the entry sample: one kernel that chooses by the step's
// settings and the history, with the reference.
func drawing(p *plan.Plan, f *fake) {
	slot := func(name, typ string, a plan.Access) plan.Slot {
		return plan.Slot{Name: name, Type: typ, Space: "device", Access: a}
	}
	p.Kernels = append(p.Kernels, plan.Kernel{Name: "draw", Source: "kernel void draw() {}", Threads: [3]int{1, 1, 1}, Slots: []plan.Slot{
		slot("logits", "float", plan.Read), slot("step", "Step", plan.ReadWrite), slot("ids", "int", plan.Write), slot("history", "int", plan.ReadWrite)}})
	p.Buffers[5].Class = plan.State
	var bind []plan.Binding
	for i, b := range []int{5, 0, 1, 7} {
		bind = append(bind, plan.Binding{Buffer: b, Bytes: p.Buffers[b].Bytes, Access: p.Kernels[3].Slots[i].Access})
	}
	one := p.Entries[1].Steps[2].Dispatch.Grid
	p.Entries = append(p.Entries, plan.Entry{Role: plan.Sample,
		Name: "sample", TMin: 1, TMax: 1, Steps: []plan.Step{{Dispatch: &plan.Dispatch{Kernel: 3, Label: "draw", Layer: -1, Grid: one, Bind: bind}}},
		CommandBuffers: []plan.CommandBuffer{{First: 0, Last: 1}},
	})
	f.kernels["draw"] = func(_ [3]int64, b [][]byte) error {
		logits, step, ids, history := b[0], b[1], b[2], b[3]
		p := int(word(step, plan.StepP))
		how := sampling.Settings{
			Temperature: float64(float(step, plan.StepTemperature)), TopK: int(float(step, plan.StepTopK)), TopP: float64(float(step, plan.StepTopP)),
			MinP: float64(float(step, plan.StepMinP)), Repetition: float64(float(step, plan.StepRepetition)),
		}
		row, seen := make([]float32, toyVocab), make([]int32, p)
		for i := range row {
			row[i] = float(logits, i)
		}
		for i := range seen {
			seen[i] = int32(word(history, i))
		}
		seed := uint64(word(step, plan.StepSeedHi))<<32 | uint64(word(step, plan.StepSeedLo))
		id, err := how.Choose(row, seen, sampling.Uniform(seed, uint32(p)))
		setWord(ids, 0, uint32(id))
		setWord(step, plan.StepToken, uint32(id))
		setWord(history, p, uint32(id))
		return err
	}
}

// hidden keeps a model's DrawN from its session.
type hidden struct{ Model }

func drawer(t *testing.T, records bool) (*Instance, *fake) {
	x, dev := loadToy(t, func(p *plan.Plan, f *fake) {
		drawing(p, f)
		f.records, f.info.Emulation = records, true
	})
	require.NoError(t, x.Plan.Check())
	return newInstance(t, x), dev
}

var toyHow = Sampling{Temperature: 40, TopK: 9, TopP: 0.95, MinP: 0.01, Repetition: 1.5, Seed: 1<<40 + 7}

// Tokens drawn on the device are those that the host would draw, however the calls
// are cut, and the host is not asked in between.
func TestDrawnTokens(t *testing.T) {
	prompt := []int32{3, 1, 4}
	x, _ := loadToy(t, nil)
	host := NewSession(hidden{newInstance(t, x)})
	require.NoError(t, host.Prefill(background, prompt))
	want := collect(t, host, 9, toyHow)
	for _, records := range []bool{true, false} {
		in, dev := drawer(t, records)
		require.True(t, in.Limits().Draws)
		s := NewSession(in)
		require.NoError(t, s.Prefill(background, prompt))
		dev.events()
		have := collect(t, s, 9, toyHow)
		require.Equal(t, want, have)
		if records {
			waits := 0
			for _, e := range dev.events() {
				if e == "wait" {
					waits++
				}
			}
			require.Equal(t, 1+2*4, waits, "the first choice, then batches of 1, 2, 4 and 1 of two recordings")
		}
		require.NoError(t, s.Rewind(5))
		require.Equal(t, want[2:], append(collect(t, s, 1, toyHow), collect(t, s, 6, toyHow)...))
		require.NoError(t, s.Rewind(3))
		require.Equal(t, toyGreedy(prompt, 2), collect(t, s, 2, Sampling{Seed: 5}), "greedy again")
		require.NoError(t, s.Rewind(3))
		require.Equal(t, want[:3], collect(t, s, 3, toyHow))
		logits, err := s.Logits()
		require.NoError(t, err)
		require.Equal(t, toyLogits(toyWeights(), append(append([]int32(nil), prompt...), want[:2]...)), logits)
		require.Equal(t, want[3:6], collect(t, s, 3, toyHow))
	}
}

func TestDrawRefuses(t *testing.T) {
	in, _ := drawer(t, true)
	_, err := in.Choose(background, toyHow)
	require.EqualError(t, err, "no token to choose: nothing has run")
	_, err = in.DrawN(background, 0, 1, 1, false, Sampling{TopP: 2})
	require.EqualError(t, err, "top-p is 2, want 0 to 1")
	x, _ := loadToy(t, nil)
	_, err = newInstance(t, x).DrawN(background, 0, 1, 1, false, toyHow)
	require.EqualError(t, err, "the plan draws no tokens: it was compiled without the entry sample")
}

// A choice that fails leaves the token before it to be run again.
func TestAfterAFailedDraw(t *testing.T) {
	x, dev := loadToy(t, drawing)
	good, bad := dev.kernels["draw"], false
	dev.kernels["draw"] = func(g [3]int64, b [][]byte) error {
		if bad {
			setWord(b[1], plan.StepError, plan.ErrLogits)
		}
		return good(g, b)
	}
	s := NewSession(newInstance(t, x))
	require.NoError(t, s.Prefill(background, []int32{3, 1, 4}))
	bad = true
	for range 2 {
		for _, err := range s.Generate(background, 2, toyHow) {
			require.ErrorIs(t, err, sampling.ErrNotFinite)
		}
	}
	require.Error(t, s.Prefill(background, []int32{5}))
	bad = false
	require.Equal(t, []int32{3, 1, 4}, s.Tokens()[:3])
	require.NoError(t, s.Rewind(3))
	host := NewSession(hidden{newInstance(t, x)})
	require.NoError(t, host.Prefill(background, []int32{3, 1, 4}))
	require.Equal(t, collect(t, host, 4, toyHow), collect(t, s, 4, toyHow))
}

// Whatever a session does in between, each token is what its sequence, settings and
// seed say.
func TestDrawingSessionIsItsSequence(t *testing.T) {
	x, _ := loadToy(t, drawing)
	rapid.Check(t, func(t *rapid.T) {
		in, err := x.NewInstance()
		require.NoError(t, err)
		defer in.Close()
		s := NewSession(in)
		var seq []int32
		for range rapid.IntRange(1, 8).Draw(t, "operations") {
			switch rapid.IntRange(0, 2).Draw(t, "operation") {
			case 0:
				ids := rapid.SliceOfN(rapid.Int32Range(0, toyVocab-1), 1, 4).Draw(t, "ids")
				if s.Prefill(background, ids) == nil {
					seq = append(seq, ids...)
				}
			case 1:
				how := rapid.SampledFrom([]Sampling{{}, toyHow, {Temperature: 30, Seed: 2}, {Repetition: 2}}).Draw(t, "how")
				stop := rapid.IntRange(1, 5).Draw(t, "stop")
				for id, err := range s.Generate(context.Background(), 5, how) {
					if len(seq) == 0 || len(seq) > toyContext {
						require.Error(t, err)
						break
					}
					require.NoError(t, err)
					want, err := how.Choose(toyLogits(toyWeights(), seq), seq, sampling.Uniform(how.Seed, uint32(len(seq))))
					require.NoError(t, err)
					require.Equal(t, want, id)
					seq = append(seq, id)
					if stop--; stop == 0 {
						break
					}
				}
			case 2:
				n := rapid.IntRange(0, len(seq)).Draw(t, "keep")
				require.NoError(t, s.Rewind(n))
				seq = seq[:n]
			}
			require.Equal(t, append([]int32{}, seq...), append([]int32{}, s.Tokens()...))
		}
	})
}
