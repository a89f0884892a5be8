package foundry

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

// weights executes the load recipes of a plan, and the weight types of a graph,
// against a checkpoint. It is safe for concurrent use.
type weights struct {
	source checkpoint.Source
	loss   checkpoint.Narrowing // what conversions to narrower types lost
	lent   atomic.Bool          // an executable may read the source's memory

	mu    sync.Mutex
	taken map[string]interp.Tensor // given to a program of ref; the next one shares them
}

// Weight is runtime.WeightSource: the buffer's tensor in the buffer's dtype.
func (w *weights) Weight(b *plan.Buffer) ([]byte, error) {
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
func (w *weights) read(name string, want dtype.Type, shape []int64) ([]byte, error) {
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
func (w *weights) Lend(b *plan.Buffer) (pages []byte, offset int64) {
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

// tensor is interp.Source. The graphs of one model name the same tensors, so
// each is read once.
func (w *weights) tensor(name string, t ir.Type) (interp.Tensor, error) {
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

// Weights is the model's weights as the interpreter asks for them: a tensor by
// its Hugging Face name in the dtype of the graph. They stay valid until the
// model is closed.
func Weights(m *Model) interp.Source { return (&weights{source: m.source}).tensor }
