package cli

import (
	"fmt"
	"io"

	"foundry"
	"foundry/runtime"

	"github.com/spf13/cobra"
)

func runCommand(s IO) *cobra.Command {
	var model modelFlags
	var compile compileFlags
	var device deviceFlags
	var o foundry.GenerateOptions
	var prompt, system string
	var chat, verbose bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Generate text",
		Example: `  foundry run --prompt "And the LORD spake unto Moses, saying," -n 40
  foundry run --device cpu --plan plan/ --prompt "In the beginning" --temperature 0.8 --seed 7
  foundry run --model hf:Qwen/Qwen2.5-0.5B-Instruct --chat --prompt "Why is the sky blue?"
  echo "In the beginning" | foundry run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Max < 1 {
				return usagef("run: -n is %d, want at least 1", o.Max)
			}
			if system != "" && !chat {
				return usagef("run: --system needs --chat")
			}
			if !cmd.Flags().Changed("prompt") {
				text, err := io.ReadAll(s.In)
				if err != nil {
					return fmt.Errorf("cannot read the prompt from standard input: %w", err)
				}
				prompt = string(text)
			}
			if prompt == "" {
				return usagef("run: the prompt is empty; give --prompt or pipe a text")
			}
			if err := o.Sampling.Validate(); err != nil {
				return usagef("run: %w", err)
			}
			m, err := model.open(s)
			if err != nil {
				return err
			}
			defer m.Close()
			text := prompt
			if chat {
				if text, err = m.ChatPrompt(system, prompt); err != nil {
					return err
				}
			}
			ids, err := m.Encode(text)
			if err != nil {
				return err
			}
			if _, err := m.EndTokens(); err != nil {
				return err
			}
			e, err := device.load(cmd, s, m, &compile, func(start *foundry.StartOptions) {
				start.Compile.Sampler = !o.Sampling.Greedy()
				start.Fits = func(l runtime.Limits) error {
					if !cmd.Flags().Changed("tokens") {
						o.Max = min(o.Max, l.Context-len(ids)+1)
					}
					return l.Takes(0, ids, o.Max)
				}
			})
			if err != nil {
				return err
			}
			defer e.Close()
			session, err := e.NewSession()
			if err != nil {
				return err
			}
			defer session.Close()
			if verbose {
				defer func() { printStartup(s.Err, e.Startup()) }()
			}
			begun := false
			begin := func() { // an error before the first token leaves nothing behind
				if !begun && !chat {
					fmt.Fprint(s.Out, prompt)
				}
				begun = true
			}
			defer func() {
				if begun {
					fmt.Fprintln(s.Out)
				}
			}()
			for token, err := range session.Generate(cmd.Context(), text, o) {
				if err != nil {
					return err
				}
				begin()
				fmt.Fprint(s.Out, token.Text)
			}
			begin()
			return nil
		},
	}
	model.add(cmd)
	compile.add(cmd)
	device.add(cmd, foundry.Auto)
	p := cmd.Flags()
	p.StringVar(&prompt, "prompt", "", "the text to go on with (standard input when not given)")
	p.BoolVar(&chat, "chat", false, "put the prompt into the model's chat template")
	p.StringVar(&system, "system", "", "the system message of --chat")
	p.BoolVar(&verbose, "verbose", false, "say on standard error what starting up took, phase by phase")
	p.IntVarP(&o.Max, "tokens", "n", 128, "tokens to generate at most")
	p.BoolVar(&o.IgnoreEnd, "ignore-end", false, "go on behind an end token")
	p.Float64Var(&o.Sampling.Temperature, "temperature", 0, "0 takes the most likely token")
	p.IntVar(&o.Sampling.TopK, "top-k", 0, "sample from the K most likely tokens; 0 is all")
	p.Float64Var(&o.Sampling.TopP, "top-p", 0, "sample from the fewest tokens with this probability; 0 is all")
	p.Float64Var(&o.Sampling.MinP, "min-p", 0, "drop tokens below this part of the largest probability")
	p.Float64Var(&o.Sampling.Repetition, "repetition", 0, "penalty of tokens seen before; 0 is off")
	p.Uint64Var(&o.Sampling.Seed, "seed", 0, "of the random numbers")
	return cmd
}
