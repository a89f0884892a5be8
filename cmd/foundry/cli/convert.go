package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"foundry/frontends/model"
)

func convertCommand(s IO) *cobra.Command {
	var from modelFlags
	var weights, out string
	cmd := &cobra.Command{
		Use:   "convert",
		Short: "Write a model as a GGUF file, quantised or as it is stored",
		Long: `Matrices are written in the dtype of --weights, rounded as GGML's reference
quantisers round; without it they keep the one they are stored in. Norms and
biases are f32. A matrix whose rows the blocks do not divide becomes f16.`,
		Example: `  foundry convert --weights q8_0 -o kjv-q8_0.gguf
  foundry convert --model DIR --weights q4_0 -o model-q4_0.gguf
  foundry run --model model-q4_0.gguf --prompt "In the beginning"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !strings.HasSuffix(out, ".gguf") {
				return usagef("convert: give -o FILE.gguf, the file to write")
			}
			t, err := parseDType("weights", weights)
			if err != nil {
				return err
			}
			m, err := from.open(s)
			if err != nil {
				return err
			}
			defer m.Close()
			c, err := model.Convert(m, t, out, progress(s.Err))
			if err != nil {
				return err
			}
			for _, note := range c.Notes {
				fmt.Fprintf(s.Err, "%s: %s\n", m.Name, note)
			}
			printGroups(s, c.Tensors)
			fmt.Fprintf(s.Out, "written to %s\n", out)
			return nil
		},
	}
	from.add(cmd)
	cmd.Flags().StringVar(&weights, "weights", "", "dtype of matrices: f32, f16, bf16, q8_0, q4_0, q4_1, q5_0 or q5_1 (as stored)")
	cmd.Flags().StringVarP(&out, "output", "o", "", "the GGUF file to write")
	return cmd
}
