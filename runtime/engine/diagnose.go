package engine

import (
	"context"
	"errors"
	"fmt"
	"math"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sampling"
	"foundry/ir/sym"
	"foundry/lower/compile"
)

// diagnosedChunk is how many tokens Diagnose runs at once: scores take the square.
const diagnosedChunk = 128

// Diagnose returns err, what a run of ids ended with, and where no token could be
// chosen says why: it runs the ids once more on the reference, as the model is written
// with the engine's type of weights and with f32 caches (a device scales what its f16
// caches hold, the reference refuses it), and names the first operation whose result is
// not finite, and the weight if that holds it. This takes as long as the reference takes.
func (e *Engine) Diagnose(ctx context.Context, ids []int32, err error) error {
	if !errors.Is(err, sampling.ErrNotFinite) || len(ids) == 0 {
		return err
	}
	at, again := e.firstNotFinite(ctx, ids)
	switch {
	case again != nil:
		return fmt.Errorf("%w (looking for the first layer where they arise: %v)", err, again)
	case at == "":
		return fmt.Errorf("%w; on the reference all values are finite: they arise in the halves that %s keeps; try --weights f32 --cache f32", err, e.Device)
	}
	return fmt.Errorf("%w; values that are not finite arise first in %s", err, at)
}

// firstNotFinite describes the first operation, in the order of execution, that makes
// NaN or infinity of ids; "" for none.
func (e *Engine) firstNotFinite(ctx context.Context, ids []int32) (string, error) {
	o := compile.Options{Context: len(ids), Chunk: min(len(ids), diagnosedChunk), Cache: dtype.F32}
	if e.Plan != nil {
		o.Weights = e.Plan.Options.Weights
	} else {
		o.Weights = e.Graphs.Options.Weights
	}
	g, err := compile.Build(e.model, o)
	if err != nil {
		return "", err
	}
	weights := e.model.Weights()
	program, err := interp.New(g.Entries[0], weights.Tensor, interp.Float32)
	if err != nil {
		return "", err
	}
	var culprit *ir.Node
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	state := program.NewState()
	for p := 0; p < len(ids) && culprit == nil; p += o.Chunk {
		chunk := ids[p:min(len(ids), p+o.Chunk)]
		_, err = program.Run(ctx, interp.Run{
			Env:    sym.Env{T: int64(len(chunk)), P: int64(p)},
			Inputs: map[string]interp.Tensor{"ids": interp.Ints(chunk, len(chunk))},
			State:  state,
			Watch: func(n *ir.Node, result interp.Tensor) {
				if culprit == nil && result.DType != dtype.I32 && !finite(result.Float32s()) {
					culprit = n
					stop()
				}
			},
		})
		if err != nil && culprit == nil {
			return "", err
		}
	}
	if culprit == nil {
		return "", nil
	}
	where := fmt.Sprintf("%s (%s)", culprit.Label, culprit.Op)
	for _, a := range culprit.Args {
		if a.Param == nil || a.Param.Kind != ir.Weight {
			continue
		}
		found, err := e.model.ScanTensor(a.Param.Name)
		if err != nil {
			return "", err
		}
		if found.NaN+found.Infinite > 0 {
			return fmt.Sprintf("%s, from %s", where, found), nil
		}
	}
	return where + ", from weights that are finite", nil
}

func finite(values []float32) bool {
	for _, v := range values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return false
		}
	}
	return true
}
