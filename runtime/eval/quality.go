package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/runtime"
	"foundry/runtime/engine"
)

// QualityOptions say what to measure.
type QualityOptions struct {
	IDs     []int32        // the text; every token is a position
	Weights []dtype.Type   // dtypes to be held against f32
	Start   engine.Options // Start.Device says where; weights, cache and rows of logits are chosen here
	// Measured is told the rows so far, behind each format; nil: nobody is.
	Measured func([]Quality)
}

// Quality says how far a model with narrow matrices lies from the same model with
// f32 ones, over the logits behind every token of a text. Caches are f32 in both.
type Quality struct {
	Weights   dtype.Type `json:"weights"`
	Bytes     int64      `json:"weight_bytes"` // bytes of matrices and vectors as they run
	Positions int        `json:"positions"`
	NMSE      float64    `json:"nmse"`       // NMSE of all logits
	KL        float64    `json:"kl"`         // mean KL(f32 || narrow) of the next token, nats
	KLReverse float64    `json:"kl_reverse"` // mean KL(narrow || f32), nats
	WorstKL   float64    `json:"worst_kl"`   // largest KL(f32 || narrow) of a position, nats
	Top1      float64    `json:"top1"`       // share of positions with the same most likely token
}

// MeasureQuality runs a text with f32 matrices and with each of o.Weights. Memory
// holds all logits of the f32 run, 4 bytes for each position and token of the
// vocabulary.
func MeasureQuality(ctx context.Context, m *model.Model, o QualityOptions) ([]Quality, error) {
	if len(o.IDs) == 0 {
		return nil, errors.New("the text is empty: there is no position to measure at")
	}
	var want []float32
	if _, err := o.run(ctx, m, dtype.F32, func(logits []float32) { want = append(want, logits...) }); err != nil {
		return nil, err
	}
	vocab := len(want) / len(o.IDs)
	var out []Quality
	for _, w := range o.Weights {
		q := Quality{Weights: w, Positions: len(o.IDs)}
		var diff, norm float64
		at, same := 0, 0
		bytes, err := o.run(ctx, m, w, func(have []float32) {
			row := want[at : at+vocab]
			at += vocab
			for i, x := range row {
				d := float64(have[i]) - float64(x)
				diff += d * d
				norm += float64(x) * float64(x)
			}
			there, back := interp.KL(row, have)
			q.KL += there
			q.KLReverse += back
			q.WorstKL = max(q.WorstKL, there)
			if largest(row) == largest(have) {
				same++
			}
		})
		if err != nil {
			return nil, fmt.Errorf("%s weights: %w", w, err)
		}
		n := float64(q.Positions)
		q.Bytes, q.NMSE, q.KL, q.KLReverse, q.Top1 = bytes, diff/norm, q.KL/n, q.KLReverse/n, float64(same)/n
		out = append(out, q)
		if o.Measured != nil {
			o.Measured(slices.Clone(out))
		}
	}
	return out, nil
}

// run runs the text with weights w, shows each row of logits to visit, and returns
// the weights' bytes.
func (o *QualityOptions) run(ctx context.Context, m *model.Model, w dtype.Type, visit func(logits []float32)) (_ int64, err error) {
	start := o.Start
	start.Compile.Weights, start.Compile.Cache, start.Compile.AllLogits = w, dtype.F32, true
	start.Compile.Context = len(o.IDs)
	start.CheckLimits = func(l runtime.Limits) error { return l.CheckRoom(0, o.IDs, 0) }
	e, err := engine.Start(ctx, m, start)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	open, err := e.Open()
	if err != nil {
		return 0, err
	}
	s := runtime.NewSession(open)
	defer func() { err = errors.Join(e.Diagnose(ctx, o.IDs, err), s.Close()) }()
	bytes := int64(0)
	for _, p := range e.Graphs.Entries[0].Params {
		if p.Param.Kind == ir.Weight {
			bytes += p.Type.MaxBytes(e.Graphs.Entries[0].Bounds)
		}
	}
	return bytes, s.PrefillEach(ctx, o.IDs, func(_ int, logits []float32) error {
		visit(logits)
		return nil
	})
}

// largest returns the index of the largest value, the lowest of equals.
func largest(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
