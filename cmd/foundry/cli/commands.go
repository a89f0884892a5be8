package cli

import "github.com/spf13/cobra"

// commands lists every command, in the order in which one meets them.
func commands(s IO) []*cobra.Command {
	return append([]*cobra.Command{
		compileCommand(s), dotCommand(s), optCommand(s), inspectCommand(s), diffCommand(s), sealCommand(s), emulateCommand(s),
		runCommand(s), evalCommand(s), benchCommand(s), fusionsCommand(s), convertCommand(s), qualityCommand(s), plotCommand(s), verifyCommand(s), devicesCommand(s),
	}, listCommands(s)...)
}
