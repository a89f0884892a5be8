package emulator

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnlyLinuxHasTheFramework(t *testing.T) {
	require.NoError(t, supported("linux", "amd64"))
	require.NoError(t, supported("linux", "arm64"))
	err := supported("darwin", "arm64")
	require.ErrorIs(t, err, ErrUnavailable)
	require.EqualError(t, err, "no emulated Metal framework here: it is built for Linux on amd64 and arm64, this is darwin on arm64")
	require.ErrorIs(t, supported("linux", "riscv64"), ErrUnavailable)
}
