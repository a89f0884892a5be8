package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/dtype"
)

func convertCommand(s IO) *cobra.Command {
	var from modelFlags
	var weights, out string
	cmd := &cobra.Command{
		Use:   "convert",
		Short: "Write a model as a GGUF file or a folder for MLX, quantised or as it is stored",
		Long: `-o FILE.gguf writes a GGUF file, -o FOLDER a folder of safetensors. Matrices are
written in the dtype of --weights; without it they keep the one they are stored in.
GGUF's dtypes are rounded as GGML's reference quantisers round, affine ones, which a
folder holds as MLX has them, as mx.quantize does. Norms and biases are f32 in GGUF
and as stored in a folder. A matrix whose rows the blocks do not divide becomes f16.
--weights q4_k_m is a mix: q4_k, and q6_k where it tells most (docs/checkpoints.md).`,
		Example: `  foundry convert --weights q8_0 -o kjv-q8_0.gguf
  foundry convert --model DIR --weights q4_0 -o model-q4_0.gguf
  foundry convert --model DIR --weights affine4 -o model-4bit
  foundry run --model model-q4_0.gguf --prompt "In the beginning"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := idle(cmd, "on what is written, which keeps the model's own configuration", ropeScalingFlag); err != nil {
				return err
			}
			if out == "" {
				return usagef("convert: give -o FILE.gguf or -o FOLDER, what to write")
			}
			mixed := weights == checkpoint.MixName
			if mixed && !strings.HasSuffix(out, ".gguf") {
				return usagef("convert: --weights %s is of GGUF; give -o FILE.gguf", weights)
			}
			t := dtype.Invalid
			if !mixed {
				var err error
				if t, err = parseDType(weights); err != nil {
					return err
				}
			}
			m, err := from.open(s)
			if err != nil {
				return err
			}
			defer m.Close()
			var c *model.Conversion
			if mixed {
				c, err = model.ConvertMix(cmd.Context(), m, out, progress(s.Err))
			} else {
				c, err = model.Convert(cmd.Context(), m, t, out, progress(s.Err))
			}
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
	cmd.Flags().StringVar(&weights, "weights", "", "dtype of matrices: f32, f16, bf16, q8_0, q6_k, q5_1, q5_0, q4_k, q4_1, q4_0 or q4_k_m, or for a folder affine4 and others (as stored)")
	cmd.Flags().StringVarP(&out, "output", "o", "", "the GGUF file (FILE.gguf) or the folder to write")
	return cmd
}
