package eval

import (
	"context"
	"strings"
	"testing"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/interp"
	"foundry/lower/compile"
	"foundry/runtime/engine"

	"github.com/stretchr/testify/require"
)

// A pass that spoils one region is found by what the model then answers.
func TestBisectFindsAPlantedFault(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	logits := func(g *compile.Graphs) []float32 {
		e, err := engine.Interpret(context.Background(), g)
		require.NoError(t, err)
		defer e.Close()
		out, err := Prompt(context.Background(), e, Options{IDs: []int32{40, 77, 258}, Top: 1})
		require.NoError(t, err)
		require.NotEmpty(t, out.Logits)
		return out.Logits
	}
	o := engine.Defaults(engine.Ref, compile.Options{Variant: "per-layer-6", Context: 16, AllLogits: true})
	sound, err := compile.Fuse(m, o)
	require.NoError(t, err)
	want := logits(sound)
	broken := func(g *compile.Graphs) (bool, error) { return interp.Compare(logits(g), want).NMSE > 1e-9, nil }

	_, err = compile.Bisect(m, o, broken)
	require.ErrorContains(t, err, "nothing is broken with all 80 rewrites of canonicalize,")
	_, err = compile.Bisect(m, o, func(*compile.Graphs) (bool, error) { return true, nil })
	require.ErrorContains(t, err, "it is broken before any rewrite")

	o.AfterPass = func(_ string, g *ir.Graph) {
		for _, n := range g.Nodes() {
			if n.Attr.Pattern == "gate-up-swiglu" && n.Label == "layers.3.gate_up" {
				for _, op := range n.Region.Nodes() {
					if op.Op == ir.OpRMSNorm {
						op.Attr.Eps = 0.5
					}
				}
			}
		}
	}
	c, err := compile.Bisect(m, o, broken)
	require.NoError(t, err)
	require.Equal(t, "fuse-gate-up-swiglu layers.3.silu", c.Name)
	require.Equal(t, 80, c.Of)
	require.Equal(t, "gate-up-swiglu", c.Decision.Pattern)
	require.Equal(t, 3, c.Decision.Layer)
	require.True(t, strings.HasPrefix(c.Decision.Reason, "rms_norm, 2 matmul_nt, silu, mul: 5 nodes become one"), c.Decision.Reason)
}
