package runtime

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/sym"
	"foundry/lower/plan"
)

// A run goes on from what the caches hold of its sequence, and from nowhere behind it.
func TestRunsGoOnFromWhatIsWritten(t *testing.T) {
	x, dev := loadToy(t, nil)
	in := newInstance(t, x)
	ctx := context.Background()
	refused := func(p, held string, err error) {
		t.Helper()
		require.EqualError(t, err, "entry decode: position "+p+", but the caches hold "+held+" tokens: run those before it first")
	}
	_, err := in.Decode(ctx, 1, 3)
	refused("1", "0", err)
	_, err = in.DecodeN(ctx, 5, 3, 2, false)
	refused("5", "0", err)
	refused("7", "0", in.Run(ctx, "decode", sym.Env{T: 1, P: 7}))

	token, err := in.Prefill(ctx, 0, []int32{3, 1, 4})
	require.NoError(t, err)
	_, err = in.Decode(ctx, 4, 1)
	refused("4", "3", err)
	ids, err := in.DecodeN(ctx, 3, token, 4, false)
	require.NoError(t, err)
	_, err = in.Decode(ctx, 8, ids[3])
	refused("8", "7", err)
	_, err = in.Decode(ctx, 7, ids[3])
	require.NoError(t, err)

	// Rewound: what stood behind is another sequence's.
	_, err = in.Decode(ctx, 1, 5)
	require.NoError(t, err)
	_, err = in.Decode(ctx, 3, 1)
	refused("3", "2", err)
	require.NoError(t, in.Run(ctx, "decode", sym.Env{T: 1, P: 2}))
	_, err = in.Decode(ctx, 3, 1)
	require.NoError(t, err)

	// Of a run that failed nothing is known, but for what stands before it.
	dev.calls["wait"], dev.failAt["wait"] = 0, 1
	_, err = in.Decode(ctx, 2, 1)
	require.ErrorIs(t, err, errInjected)
	dev.failAt["wait"] = 0
	_, err = in.Decode(ctx, 3, 1)
	refused("3", "2", err)
	_, err = in.Decode(ctx, 2, 1)
	require.NoError(t, err)

	// Each session has its own.
	other := newInstance(t, x)
	_, err = other.Decode(ctx, 2, 1)
	refused("2", "0", err)
	other.AssumeWritten()
	for _, p := range []int{9, 2, 9} {
		_, err = other.Decode(ctx, p, 1)
		require.NoError(t, err)
	}
}

// A cache that the host fills is written to its end.
func TestWhatTheHostWritesIsWritten(t *testing.T) {
	x, _ := loadToy(t, nil)
	in := newInstance(t, x)
	for i := range x.Plan.Buffers {
		if b := &x.Plan.Buffers[i]; b.Class == plan.State && b.Role == plan.NoRole {
			require.NoError(t, in.Write(b.Name, make([]byte, b.Bytes)))
		}
	}
	_, err := in.Decode(context.Background(), 6, 1)
	require.NoError(t, err)
}
