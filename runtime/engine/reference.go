package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/interp"
	"foundry/ir/sampling"
	"foundry/ir/sym"
	"foundry/lower/compile"
	"foundry/runtime"
)

// reference runs the fused graphs themselves, in the interpreter. It needs
// nothing installed.
type reference struct {
	prefill, decode *interp.Program
	limits          runtime.Limits
	weights         *model.Weights
}

func newReference(g *compile.Graphs, w *model.Weights) (*reference, error) {
	r := &reference{limits: runtime.Limits{
		Vocab: g.Model.Config.Vocab, Context: g.Options.Context, Chunk: g.Options.Chunk, AllLogits: g.Options.AllLogits,
	}, weights: w}
	for _, e := range []struct {
		graph   *ir.Graph
		program **interp.Program
	}{{g.Entries[0], &r.prefill}, {g.Entries[1], &r.decode}} {
		p, err := interp.New(e.graph, w.Tensor, interp.Float32)
		if err != nil {
			return nil, cmp.Or(w.Whole(), err)
		}
		*e.program = p
	}
	return r, nil
}

// open returns a context of its own over the shared programs.
func (r *reference) open() *referenceContext {
	return &referenceContext{reference: r, state: r.prefill.NewState()}
}

// referenceContext is a runtime.Model.
type referenceContext struct {
	*reference
	state   *interp.State // nil after Close
	written int           // tokens that the caches hold
	assumed bool          // caches, whatever they hold
	logits  []float32     // logits of the last run; nil before the first and after a failed one
}

func (c *referenceContext) Limits() runtime.Limits { return c.limits }

func (c *referenceContext) Prefill(ctx context.Context, p int, ids []int32) (int32, error) {
	return c.run(ctx, c.prefill, p, ids)
}

func (c *referenceContext) Decode(ctx context.Context, p int, id int32) (int32, error) {
	return c.run(ctx, c.decode, p, []int32{id})
}

func (c *referenceContext) run(ctx context.Context, program *interp.Program, p int, ids []int32) (int32, error) {
	if c.state == nil {
		return 0, errors.New("the session is closed")
	}
	if p > c.written && !c.assumed {
		return 0, fmt.Errorf("entry %s: position %d, but the caches hold %d tokens: run those before it first", compile.EntryOf(len(ids)), p, c.written)
	}
	c.logits, c.written = nil, min(p, c.written)
	for _, id := range ids {
		if id < 0 || int(id) >= c.limits.Vocab {
			return 0, fmt.Errorf("token id %d is outside the vocabulary of %d", id, c.limits.Vocab)
		}
	}
	out, err := program.Run(ctx, interp.Run{
		Env:    sym.Env{T: int64(len(ids)), P: int64(p)},
		Inputs: map[string]interp.Tensor{"ids": interp.Ints(ids, len(ids))},
		State:  c.state,
	})
	if err != nil {
		return 0, cmp.Or(c.weights.Whole(), err)
	}
	logits := out["logits"].Float32s()
	if err := sampling.Finite(logits[len(logits)-c.limits.Vocab:]); err != nil {
		return 0, fmt.Errorf("%s: %w", compile.EntryOf(len(ids)), err)
	}
	c.written, c.logits = p+len(ids), logits
	return out["token"].I32[0], nil
}

// AssumeWritten is that of runtime.Instance.
func (c *referenceContext) AssumeWritten() { c.assumed = true }

func (c *referenceContext) Logits() ([]float32, error) {
	if c.logits == nil {
		return nil, errors.New("no logits: nothing has run")
	}
	return c.logits, nil
}

func (c *referenceContext) Close() error {
	c.state, c.logits = nil, nil
	return nil
}
