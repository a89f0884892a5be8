package metal_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/kernel"
	"foundry/ir/seeded"
	"foundry/ir/sym"
	"foundry/ir/target"
)

// Keys and values that no row's window reaches are not read, whatever form attention
// takes: there they are no numbers, and the result stays what it is. Tiles read whole
// blocks of keys.
func TestKeysOutsideWindowsAreNotRead(t *testing.T) {
	const context, window, d = 1088, 100, 64
	row, err := target.Find(target.Default)
	require.NoError(t, err)
	for name, x := range map[string]struct {
		pin, bounds string
		env         sym.Env
		on          *target.Target
		block       int // of keys that are read at once
	}{
		"a row":   {kernel.OnePass, "T=1..1, P=0..1087, S<=1088", sym.Env{T: 1, P: 1000}, row, 1},
		"rows":    {kernel.OnePass, "T=1..9, P=0..1079, S<=1088", sym.Env{T: 9, P: 1000}, row, 1},
		"a split": {kernel.AttentionInParts, "T=1..1, P=0..1087, S<=1088", sym.Env{T: 1, P: 1000}, row, 1},
		"tiles":   {"attention-tiles 64x64", "T=1..65, P=0..1023, S<=1088", sym.Env{T: 65, P: 1000}, forTiles(t, "apple-m3-pro"), 64},
	} {
		t.Run(name, func(t *testing.T) {
			g := fusedAttention(t, x.bounds, windowText(4, d, context, window), x.pin, "g")
			b := newBatchFor(t, []*ir.Graph{g}, false, x.on)
			require.Equal(t, x.block > 1, strings.HasSuffix(b.plan.Kernels[0].Name, "_tiles"))
			in, err := b.exec.NewInstance()
			require.NoError(t, err)
			defer in.Close()
			for name, v := range seeded.Inputs(g, x.env, 3) {
				require.NoError(t, in.Write(name, stored(v)))
			}
			state := b.programs[0].NewState()
			require.NoError(t, seeded.FillState(state, 3))
			result := func(hidden int) []byte {
				for _, name := range state.Names() {
					v, err := state.Tensor(name)
					require.NoError(t, err)
					raw := stored(v)
					for head := range 2 {
						for i := range hidden * d {
							binary.LittleEndian.PutUint16(raw[2*(head*context*d+i):], 0x7e00) // a NaN
						}
					}
					require.NoError(t, in.Write(name, raw))
				}
				require.NoError(t, in.Run(background, g.Name, x.env))
				out := make([]byte, 4*4*d*x.env.T)
				require.NoError(t, in.Read(g.Results[0].Name, out))
				return out
			}
			reached := int(x.env.P) + 1 - window
			want := result(0)
			require.Equal(t, want, result(reached/x.block*x.block))
			require.NotEqual(t, want, result(reached+1), "the window's first key is read")
		})
	}
}
