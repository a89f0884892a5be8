package cuda

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/dtype"
	"foundry/lower/compile"
	"foundry/lower/plan"
)

// A kernel whose threadgroups all run at once gets the registers that it likes; of the
// head, whose do not, registers are weighed.
func TestRegistersByGrid(t *testing.T) {
	d := compilingDevice(t)
	m, err := model.Open("synth:qwen2.5-7b", checkpoint.Hub{})
	require.NoError(t, err)
	c, err := compile.Model(m.WithLayers(1), compile.Options{Weights: dtype.F16, Target: "h200", Variant: "fewest", Context: 512, Chunk: 1})
	require.NoError(t, err)
	var kernels []plan.Kernel
	var share []int
	for i, n := range shares(c.Plan, 132) {
		if k := c.Plan.Kernels[i]; k.Name == "attention_28x128" || k.Name == "head_3584x152064_f16" {
			k.File = "kernels/" + k.Name + ".metal"
			kernels, share = append(kernels, k), append(share, n)
		}
	}
	require.Len(t, kernels, 2)
	u, err := d.compile(context.Background(), kernels, share, nil)
	require.NoError(t, err)
	for i, k := range kernels {
		used, err := notesOf(u.code[u.of[i]])
		require.NoError(t, err)
		if strings.HasPrefix(k.Name, "attention") {
			require.Equal(t, 1, share[i])
			require.Greater(t, used[k.Name].registers, 64) // 71; weighed 64
		} else {
			require.Greater(t, share[i], 8)
			require.Less(t, used[k.Name].registers, 100) // 78; free 138
		}
	}
	warm, err := d.compile(context.Background(), kernels, share, nil)
	require.NoError(t, err)
	require.Zero(t, warm.fresh)
	require.Equal(t, u.of, warm.of)
}
