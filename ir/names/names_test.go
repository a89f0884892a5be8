package names

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNearest(t *testing.T) {
	require.Equal(t, `; did you mean "prefill"?`, Nearest("prefil", []string{"decode", "prefill"}))
	require.Empty(t, Nearest("quite another", []string{"decode", "prefill"}))
}
