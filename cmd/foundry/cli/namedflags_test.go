package cli

import (
	"io"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// Every flag whose values complete refuses names that are none, in every command, as a
// wrong command line; and no flag is listed that no command has.
func TestNamesOfFlags(t *testing.T) {
	unused := map[string]bool{}
	for flag := range namedFlags {
		unused[flag] = true
	}
	free := map[string]bool{"model": true} // a file, too
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			delete(unused, f.Name)
			_, completes := c.GetFlagCompletionFunc(f.Name)
			if _, named := namedFlags[f.Name]; !named && (!completes || free[f.Name]) {
				return
			}
			require.NoError(t, c.Flags().Set(f.Name, "no-such-name"))
			err := checkNames(c)
			require.ErrorAs(t, err, &usageError{}, "%s --%s", c.CommandPath(), f.Name)
			require.ErrorContains(t, err, "--"+f.Name)
			f.Changed = false
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(IO{Out: io.Discard, Err: io.Discard, Env: func(string) string { return "" }}))
	require.Empty(t, unused)
}
