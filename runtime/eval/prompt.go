// Package eval turns an engine, or a graph, into what it answers, and holds that
// against what others answered: prompts, goldens, graphs on given inputs, and what
// quantised weights change.
//
// Read next: runtime/engine for what runs, ir/interp for how results are compared.
package eval

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"

	"foundry/frontends/checkpoint"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/engine"
)

// Options say what to evaluate.
type Options struct {
	IDs    []int32 // the prompt, at least one
	Greedy int     // ids to go on with, exactly so many; an end token stops nothing
	Top    int     // the number of the most likely next tokens to list, at least one
}

// Evaluation is what `foundry eval --json` prints.
type Evaluation struct {
	Model         string              `json:"model"`
	Device        string              `json:"device"`
	Passes        string              `json:"passes"`
	PromptIDs     []int32             `json:"prompt_ids"`
	Top           []runtime.Candidate `json:"top"` // tokens behind the prompt, most likely first
	GreedyIDs     []int32             `json:"greedy_ids"`
	GreedyMargins []float32           `json:"greedy_margins"` // largest logit minus the second
	Dispatches    int                 `json:"dispatches"`     // dispatches of the decode plan for the target
	Waves         int                 `json:"waves"`

	Target string    `json:"-"`
	Logits []float32 `json:"-"` // [len(PromptIDs), Vocab] with compile.Options.AllLogits, otherwise nil
	vocab  int
}

// Prompt runs a prompt in a session of its own.
func Prompt(ctx context.Context, e *engine.Engine, o Options) (_ *Evaluation, err error) {
	out := &Evaluation{
		Model: e.Model().BaseName(), Device: e.Device,
		PromptIDs: o.IDs, GreedyIDs: []int32{}, GreedyMargins: []float32{},
	}
	if err := out.describe(e); err != nil {
		return nil, err
	}
	m, err := e.Open()
	if err != nil {
		return nil, err
	}
	s := runtime.NewSession(m)
	defer func() {
		err = errors.Join(e.Diagnose(ctx, append(slices.Clone(o.IDs), out.GreedyIDs...), err), s.Close())
	}()
	out.vocab = s.Limits().Vocab
	if s.Limits().AllLogits {
		err = s.PrefillEach(ctx, o.IDs, func(_ int, logits []float32) error {
			out.Logits = append(out.Logits, logits...)
			return nil
		})
	} else {
		err = s.Prefill(ctx, o.IDs)
	}
	if err != nil {
		return nil, err
	}
	last, err := s.Logits()
	if err != nil {
		return nil, err
	}
	if out.Top, err = runtime.Top(last, o.Top); err != nil {
		return nil, err
	}
	if o.Greedy > 0 {
		out.GreedyIDs, out.GreedyMargins, err = s.Greedy(ctx, o.Greedy)
	}
	return out, err
}

// WriteLogits writes the prompt's logits as tensor "logits", f32 [T, vocab], of a
// safetensors file.
func (e *Evaluation) WriteLogits(w io.Writer) error {
	if e.Logits == nil {
		return errors.New("the model was compiled for the last row's logits only")
	}
	data := make([]byte, 0, 4*len(e.Logits))
	for _, l := range e.Logits {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(l))
	}
	shape := []int64{int64(len(e.PromptIDs)), int64(e.vocab)}
	return checkpoint.WriteSafetensors(w, []checkpoint.Tensor{{Name: "logits", DType: dtype.F32, Shape: shape, Data: data}})
}

// describe fills in what was run: on ref, the plan that its graphs lower to.
func (out *Evaluation) describe(e *engine.Engine) error {
	p := e.Plan
	if p == nil {
		c, err := e.Graphs.Lower()
		if err != nil {
			return err
		}
		p = c.Plan
	}
	decode := p.EntryFor(plan.Decode)
	if decode < 0 {
		return errors.New("the plan has no entry that decodes")
	}
	stats := p.Stats(&p.Entries[decode], sym.Env{T: 1})
	out.Target, out.Passes = p.Options.Target, p.Options.Passes
	out.Dispatches, out.Waves = stats.Dispatches, stats.Waves
	return nil
}
