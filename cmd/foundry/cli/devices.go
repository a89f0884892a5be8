package cli

import (
	"github.com/spf13/cobra"

	"foundry/runtime/cpu"
	"foundry/runtime/engine"
)

func devicesCommand(s IO) *cobra.Command {
	return &cobra.Command{
		Use:     "devices",
		Short:   "Show what this machine can run plans on",
		Example: `  foundry devices`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t := newTable("device", "usable", "what was found")
			for _, d := range engine.FindDevices(cmd.Context(), cpu.Options{CXX: s.Env("CXX")}) {
				usable := "no"
				if d.Usable {
					usable = "yes"
				}
				t.row(d.Name, usable, d.Note)
			}
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			t.render(s.Out)
			return nil
		},
	}
}
