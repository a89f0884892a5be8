package model

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"foundry/frontends/checkpoint"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// Weights executes the load recipes of a plan, and the weight types of a graph,
// against a model's checkpoint. It is safe for concurrent use, and valid until the
// model is closed.
type Weights struct {
	source checkpoint.Source
	loss   checkpoint.Narrowing // losses of conversions to narrower types
	lent   atomic.Bool          // an executable may read the source's memory

	mu    sync.Mutex
	taken map[string]interp.Tensor // weights in the hands of a program of ref; the next one shares them
}

// Weights returns a reader of the model's weights, which has read none.
func (m *Model) Weights() *Weights { return &Weights{source: m.source} }

// Loss is what conversions to narrower types have lost so far.
func (w *Weights) Loss() checkpoint.Narrowing { return w.loss }

// Lent reports whether an executable may read the checkpoint's memory.
func (w *Weights) Lent() bool { return w.lent.Load() }

// Weight is runtime.WeightSource: the buffer's tensor in the buffer's dtype.
func (w *Weights) Weight(b *plan.Buffer) ([]byte, error) {
	if b.Weight == nil {
		return nil, fmt.Errorf("buffer %q has no load recipe", b.Name)
	}
	switch kind := b.Weight.Kind; kind {
	case "as_stored", "convert", "quantise", plan.Planes:
	default:
		return nil, fmt.Errorf("tensor %q: there is no load recipe %q", b.Weight.Tensor, kind)
	}
	shape, constant := constants(b.Shape)
	if !constant {
		return nil, fmt.Errorf("tensor %q: the plan gives it the shape %v, wants constants", b.Weight.Tensor, b.Shape)
	}
	return w.read(b.Weight.Tensor, b.DType, shape)
}

func constants(dims []sym.Dim) ([]int64, bool) {
	shape := make([]int64, len(dims))
	for i, d := range dims {
		n, constant := d.Const()
		if !constant {
			return nil, false
		}
		shape[i] = n
	}
	return shape, true
}

// read returns a tensor's bytes in the wanted dtype and checks its shape.
func (w *Weights) read(name string, want dtype.Type, shape []int64) ([]byte, error) {
	info, ok := w.source.Info(name)
	if !ok {
		return nil, fmt.Errorf("%s: tensor %q is missing", w.source.Label(), name)
	}
	if !slices.Equal(info.Shape, shape) {
		return nil, fmt.Errorf("%s: tensor %q has shape %v, the plan wants %v", w.source.Label(), name, info.Shape, shape)
	}
	return checkpoint.ReadAs(w.source, name, want, &w.loss)
}

// Lend is runtime.Lender: a tensor that the plan wants as it is stored is read
// where its file is mapped.
func (w *Weights) Lend(b *plan.Buffer) (pages []byte, offset int64) {
	mapped, ok := w.source.(checkpoint.Mapped)
	if !ok || b.Weight == nil {
		return nil, 0
	}
	info, ok := w.source.Info(b.Weight.Tensor)
	shape, constant := constants(b.Shape)
	if !ok || info.DType != b.DType || !constant || !slices.Equal(info.Shape, shape) {
		return nil, 0
	}
	if pages, offset = mapped.Pages(b.Weight.Tensor); pages != nil {
		w.lent.Store(true)
	}
	return pages, offset
}

// Whole is runtime.Mapped: an error that names a mapped file that was cut.
func (w *Weights) Whole() error { return checkpoint.Cause(w.source, nil) }

// Tensor is an interp.Source. The graphs of one model name the same tensors, so
// each is read once.
func (w *Weights) Tensor(name string, t ir.Type) (interp.Tensor, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if have, ok := w.taken[name]; ok && have.DType == t.DType {
		return have, nil
	}
	dims := t.Shape.Slice()
	shape, lengths := make([]int64, len(dims)), make([]int, len(dims))
	for i, d := range dims {
		shape[i], _ = d.Const() // a verified graph's weights have constant dims
		lengths[i] = int(shape[i])
	}
	data, err := w.read(name, t.DType, shape)
	if err != nil {
		return interp.Tensor{}, err
	}
	if w.taken == nil {
		w.taken = map[string]interp.Tensor{}
	}
	w.taken[name] = interp.Stored(t.DType, data, lengths...)
	return w.taken[name], nil
}

// CheckPlan reports how a plan differs from the model that shall give it weights.
func (m *Model) CheckPlan(p *plan.Plan) error {
	if err := m.CheckLanguage(); err != nil {
		return err
	}
	c := m.Config
	if have := p.Model; have.Layers != c.Layers || have.Hidden != c.Hidden || have.Vocab != c.Vocab {
		return fmt.Errorf("the plan was compiled from %s (%d layers, hidden %d, vocabulary %d), not from %s (%d, %d, %d)",
			have.Name, have.Layers, have.Hidden, have.Vocab, m.Name, c.Layers, c.Hidden, c.Vocab)
	}
	return nil
}
