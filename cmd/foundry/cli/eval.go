package cli

import (
	"encoding/json"
	"fmt"

	"foundry"
	"foundry/runtime"
	"foundry/runtime/eval"

	"github.com/spf13/cobra"
)

func evalCommand(s IO) *cobra.Command {
	var model modelFlags
	var compile compileFlags
	var device deviceFlags
	var ids idsFlags
	var graph graphFlags
	var goldens goldenFlags
	var o eval.Options
	var logitsOut string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "eval",
		Short: "Run a prompt and print the most likely next tokens",
		Example: `  foundry eval --prompt "In the beginning" --greedy 8
  foundry eval --model DIR --device ref --ids 1,2,3 --logits-out logits.safetensors --json
  foundry eval --model DIR --device cpu --plan plan/ --ids-file ids.txt
  foundry eval --model synth:qwen2.5-0.5b --device cuda --goldens synth-goldens.json
  foundry eval --model DIR --device cuda --ids 1,2,3 --goldens logits.safetensors --nmse 2e-6
  foundry eval --model graph.fir --device cpu --inputs x.safetensors --logits-out y.safetensors`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Greedy < 0 || o.Top < 1 {
				return usagef("eval: --greedy is %d and --top %d, want at least 0 and 1", o.Greedy, o.Top)
			}
			m, err := model.open(s)
			if err != nil {
				return err
			}
			defer m.Close()
			if err := evalFlags(cmd, m, goldens.file != ""); err != nil {
				return err
			}
			file, err := openOutput(cmd.Context(), "--logits-out", logitsOut)
			if err != nil {
				return err
			}
			defer file.discard()
			if m.Graph != nil {
				return graph.run(cmd, s, m, &compile, &device, file, asJSON)
			}
			if goldens.file != "" {
				return goldens.run(cmd, s, m, &compile, &device, &ids, asJSON)
			}
			if o.IDs, err = ids.read(cmd, m); err != nil {
				return err
			}
			e, err := device.load(cmd, s, m, &compile, func(start *foundry.StartOptions) {
				start.Compile.AllLogits = file != nil
				start.CheckLimits = func(l runtime.Limits) error { return l.CheckRoom(0, o.IDs, o.Greedy) }
			})
			if err != nil {
				return err
			}
			defer e.Close()
			out, err := eval.Prompt(cmd.Context(), e, o)
			if err != nil {
				return err
			}
			if err := file.finish(out.WriteLogits); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(s.Out).Encode(out)
			}
			return printEvaluation(s, m, out)
		},
	}
	model.add(cmd)
	compile.add(cmd)
	device.add(cmd, "ref")
	ids.add(cmd)
	graph.add(cmd)
	goldens.add(cmd)
	cmd.Flags().IntVar(&o.Greedy, "greedy", 0, "continue greedily by exactly this many ids")
	cmd.Flags().IntVar(&o.Top, "top", 10, "how many of the most likely next tokens to print")
	cmd.Flags().StringVar(&logitsOut, "logits-out", "", "write every row's logits, f32 [T, vocab], to this safetensors file; of a .fir graph, every result")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// evalFlags is an error where a flag is given that is not of what m is evaluated on.
func evalFlags(cmd *cobra.Command, m *foundry.Model, goldens bool) error {
	switch {
	case m.Graph != nil:
		return idle(cmd, "on a .fir graph", "plan", "ids", "ids-file", "prompt", "greedy", "top", "goldens", "nmse", "margin")
	case goldens:
		return idle(cmd, "beside --goldens", "inputs", "tokens", "cached", "seed", "greedy", "top", "logits-out")
	}
	if err := idle(cmd, "on a language model, only on a .fir graph", "inputs", "tokens", "cached", "seed"); err != nil {
		return err
	}
	return idle(cmd, "without --goldens", "nmse", "margin")
}

// printEvaluation prints what --json holds, for people.
func printEvaluation(s IO, m *foundry.Model, e *eval.Evaluation) error {
	fmt.Fprintf(s.Out, "%s on %s: %d prompt tokens; a decode step is %d dispatches in %d waves on %s\n",
		e.Model, e.Device, len(e.PromptIDs), e.Dispatches, e.Waves, e.Target)
	t := newTable("rank", "id", "token", "logit").alignRight("rank", "id", "logit")
	for i, c := range e.Top {
		t.row(i+1, c.ID, fmt.Sprintf("%q", m.TokenText(c.ID)), fmt.Sprintf("%.4f", c.Logit))
	}
	t.render(s.Out)
	if len(e.GreedyIDs) > 0 {
		fmt.Fprintf(s.Out, "greedy: %v\n", e.GreedyIDs)
		text := ""
		for _, id := range e.GreedyIDs {
			text += m.TokenText(id)
		}
		fmt.Fprintf(s.Out, "text: %q\n", text)
	}
	return nil
}
