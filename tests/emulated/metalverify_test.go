package emulated

import (
	"context"
	"flag"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/target"
	"foundry/runtime/mtl"
	"foundry/verify"
)

var metalVerify = flag.Bool("metal-verify", false, "TestVerifyOnEmulatedMetal runs every kernel, not four")

// TestVerifyOnEmulatedMetal is `foundry verify --quick --device metal` where the
// device is the emulated framework: kernels through runtime/mtl against the
// interpreter, without a wrong message or a missing barrier.
func TestVerifyOnEmulatedMetal(t *testing.T) {
	f := emulated(t)
	dev, err := mtl.Open(mtl.Options{Libraries: mtl.Libraries{ObjC: f.Path, Foundation: f.Path, CoreGraphics: f.Path, Metal: f.Path}})
	require.NoError(t, err)
	x, err := target.Find(target.Default)
	require.NoError(t, err)
	o := verify.Options{Device: f.Wrap(dev), Target: x, Quick: true}
	if !*metalVerify {
		o.Only = func(kernel, format string) bool {
			name := kernel + " " + format
			return name == "swiglu f32" || strings.HasPrefix(name, "rms_norm") || strings.HasPrefix(name, "argmax")
		}
	}
	r, err := verify.Run(context.Background(), o)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(r.Rows), 4)
	for _, row := range r.Rows {
		require.True(t, row.Pass, "%s %s: %s", row.Kernel, row.Format, row.Failure)
	}
	t.Logf("%d rows, %d cases", len(r.Rows), r.Cases)
	require.NoError(t, dev.Close())
	clean(t)
}
