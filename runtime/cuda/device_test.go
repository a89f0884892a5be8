package cuda

import (
	"testing"

	"github.com/stretchr/testify/require"

	fruntime "foundry/runtime"
	"foundry/runtime/devicetest"
)

// TestConformance runs the device suite on a GPU, with and without dependent
// launches.
func TestConformance(t *testing.T) {
	for _, dependent := range []bool{false, true} {
		o := Options{Dependent: dependent, CacheDir: t.TempDir(), TrustKernels: true}
		dev, err := Open(o)
		devicetest.Need(t, err)
		require.NoError(t, dev.Close())
		name := "in order"
		if dependent {
			name = "dependent"
		}
		t.Run(name, func(t *testing.T) {
			devicetest.Run(t, func() (fruntime.Device, error) { return Open(o) })
		})
	}
}
