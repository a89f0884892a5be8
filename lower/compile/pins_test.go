package compile

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A pass that asks for a kernel which none of its sites has is an error, whoever asks for
// it; one that is there for one entry alone is noted. What other passes have taken, and what
// does not pay, is neither.
func TestPinsWithoutAKernel(t *testing.T) {
	m := embedded(t)
	for _, c := range []struct {
		name, target, passes, prefill string
		err, note                     string
	}{
		{name: "matrix units", target: "apple-m4", passes: "fuse-residual{kernel=matrices}",
			err: `kjv-2m: fuse-residual{kernel=matrices}: of 10 sites of decode none has such a kernel: take other words, another target or no kernel=; layers.0.resid_attn: apple-m4 cannot make one kernel of matmul_nt, add: kernel="matrices": none of its kernels has these words; there are rows per-team=`},
		{name: "a size", target: "apple-m5", passes: "fuse-residual{kernel=matrices 128x128x999999}", err: `none of its kernels has these words`},
		{name: "a number", passes: "fuse-attention{kernel=attention-parts parts=16}", err: "fuse-attention{kernel=attention-parts parts=16}: of 5 sites of decode none"},
		{name: "weighed", target: "apple-m4", passes: "fuse-residual{when=cheaper,kernel=matrices}", err: "of 10 sites of decode none"},
		{name: "prefill's own", target: "apple-m4", passes: "fuse-residual", prefill: "fuse-residual{kernel=matrices}", err: "of 10 sites of prefill none"},
		{name: "of many rows", target: "apple-m4", passes: "fuse-residual{kernel=tiles 64x64x16}",
			note: "fuse-residual{kernel=tiles 64x64x16} leaves 10 sites of decode as they were: no such kernel there"},
		{name: "of one row", target: "apple-m4", passes: "fuse-residual{kernel=rows}"},
		{name: "taken", passes: "drop-repeat-kv,fuse-rope-attention,fuse-attention{kernel=attention-parts parts=16}"},
		{name: "does not pay", target: "apple-m4", passes: "fuse-rmsnorm-qkv{when=cheaper,kernel=rows}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := Fuse(m, Options{Target: c.target, Passes: c.passes, PrefillPasses: c.prefill})
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			if c.note == "" {
				require.Empty(t, g.Notes)
			} else {
				require.Equal(t, []string{c.note}, g.Notes)
			}
		})
	}
}
