package cli

import (
	"io"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// A process without rights cannot put a file in its place: commands that are to write one
// keep them, and look at every access.
func TestRightsOfPlansFromDisk(t *testing.T) {
	confined := func(flag string) bool {
		var f deviceFlags
		cmd := &cobra.Command{}
		f.add(cmd, "cpu")
		for _, name := range []string{"logits-out", "csv", "plot", "capture", "prompt"} {
			cmd.Flags().String(name, "", "")
		}
		require.NoError(t, cmd.Flags().Set("plan", "plan"))
		require.NoError(t, cmd.Flags().Set(flag, "x"))
		s := IO{Err: io.Discard, Env: func(string) string { return "" }, Confine: func() error { return nil }}
		return f.options(cmd, s).Confine != nil
	}
	require.True(t, confined("prompt"))
	for _, flag := range []string{"logits-out", "csv", "plot", "capture"} {
		require.False(t, confined(flag), flag)
	}
}
