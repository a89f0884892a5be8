package names

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNearest(t *testing.T) {
	list := []string{"decode", "prefill", "cpu", "fuse-attention", "fuse-rope-attention"}
	for misspelt, want := range map[string]string{
		"prefil": "prefill", "decoed": "decode", "cpi": "cpu", "fuse-atention": "fuse-attention",
		"c": "", "x": "", "cp": "cpu", "xyz": "", "dec": "", "quite another": "", "": "",
	} {
		require.Equal(t, want, Nearest(misspelt, list), misspelt)
	}
	require.Empty(t, Nearest("x", nil))
	require.Equal(t, `; did you mean "prefill"?`, DidYouMean("prefil", list))
	require.Empty(t, DidYouMean("quite another", list))
}
