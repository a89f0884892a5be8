package foundry

import (
	"fmt"

	"foundry/frontends/checkpoint"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/target"
)

// Graphs are a model's graphs after passes: what fused kernels are made of, and
// what the reference runs.
type Graphs struct {
	Model   *Model
	Options CompileOptions // with every choice made
	Target  *target.Target
	Prefill *ir.Graph // T = 1..Chunk
	Decode  *ir.Graph // T = 1
	Notes   []string  // what the user should know, a line each
}

// Fuse builds the model's graphs and runs the passes over them. No weight is
// read.
func Fuse(m *Model, o CompileOptions) (*Graphs, error) {
	o, t, err := o.resolve(m)
	if err != nil {
		return nil, err
	}
	g := &Graphs{Model: m, Options: o, Target: t}
	if err := g.build(); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	return g, nil
}

// build makes the graphs as the frontend emits them.
func (g *Graphs) build() (err error) {
	o := g.Options
	special := map[string]dtype.Type{}
	for _, w := range qwen25.Weights(g.Model.Config) {
		if len(w.Shape) > 1 && !checkpoint.Fits(o.Weights, w.Shape) {
			special[w.Name] = dtype.F16
		}
	}
	if len(special) > 0 {
		block, _ := o.Weights.Block()
		g.Notes = append(g.Notes, fmt.Sprintf("%d matrices stay f16: %d, %s's block, does not divide their rows", len(special), block, o.Weights))
	}
	g.Prefill, err = qwen25.Build(g.Model.Config, qwen25.BuildOptions{
		Context: o.Context, Chunk: o.Chunk, Weights: o.Weights, Cache: o.Cache, AllLogits: o.AllLogits,
		WeightType: func(name string) dtype.Type { return special[name] },
	})
	if err != nil {
		return err
	}
	g.Decode, err = g.Prefill.Specialise(1)
	if err != nil {
		return err
	}
	g.Decode.Name = "decode"
	return nil
}
