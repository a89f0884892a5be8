package runtime

import (
	"errors"
	"fmt"
	"sync"

	"foundry/lower/plan"
)

// Weights are weight buffers on a GPU that several Executables share: the plans of
// one model differ in kernels, and most of them want the same bytes.
type Weights struct {
	mu   sync.Mutex
	held map[string]*weight
}

// weight is one buffer, made once.
type weight struct {
	once   sync.Once
	memory Memory
	err    error
}

// NewWeights starts with none.
func NewWeights() *Weights { return &Weights{held: map[string]*weight{}} }

// get returns the memory for b, which fill makes where no plan had it before.
func (w *Weights) get(b *plan.Buffer, fill func() (Memory, error)) (Memory, error) {
	key := fmt.Sprint(*b.Weight, b.DType, b.Shape, b.Bytes)
	w.mu.Lock()
	x := w.held[key]
	if x == nil {
		x = &weight{}
		w.held[key] = x
	}
	w.mu.Unlock()
	x.once.Do(func() { x.memory, x.err = fill() })
	return x.memory, x.err
}

// Close frees the buffers, once. Every Executable that shares them must be closed, and
// no device yet that one was loaded on.
func (w *Weights) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, x := range w.held {
		if x.memory != nil {
			errs = append(errs, x.memory.Free())
		}
	}
	w.held = nil
	return errors.Join(errs...)
}
