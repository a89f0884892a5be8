package cli

import (
	"fmt"
	"os"

	"foundry"
	"foundry/runtime"

	"github.com/spf13/cobra"
)

func runCommand(s IO) *cobra.Command {
	var model modelFlags
	var compile compileFlags
	var device deviceFlags
	var o foundry.GenerateOptions
	var prompts promptFlags
	var verbose bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Generate text",
		Long: `Goes on with a text or, with --chat or --messages, answers a conversation, which the
model's chat template turns into a prompt as transformers' apply_chat_template does. A
control token such as <|im_end|> counts as one wherever it stands, in a message too:
who passes on the text of strangers must look for them. --show-prompt shows the prompt.
On a terminal, --chat without a prompt is a conversation: Ctrl-C stops an answer, /reset
begins anew.`,
		Example: `  foundry run --prompt "And the LORD spake unto Moses, saying," -n 40
  foundry run --device cpu --plan plan/ --prompt "In the beginning" --temperature 0.8 --seed 7
  foundry run --prompt "In the beginning" -n 40 --json       # with tokens a second
  foundry run --model hf:Qwen/Qwen2.5-0.5B-Instruct --chat --prompt "Why is the sky blue?"
  foundry run --model Qwen2.5-0.5B-Instruct/ --chat
  foundry run --model Qwen2.5-0.5B-Instruct/ --messages talk.json --tools tools.json --show-prompt
  echo "In the beginning" | foundry run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Max < 1 {
				return usagef("run: -n is %d, want at least 1", o.Max)
			}
			if err := prompts.check(cmd); err != nil {
				return err
			}
			if err := o.Sampling.Validate(); err != nil {
				return usagef("run: %w", err)
			}
			open := func() (*foundry.Model, error) { return model.open(s) }
			if prompts.talks(cmd, s) {
				return converse(cmd, s, open, &compile, &device, &prompts, o)
			}
			m, p, err := prompts.read(cmd, s, open)
			if err != nil {
				return err
			}
			defer m.Close()
			if prompts.show {
				return prompts.print(s, p)
			}
			e, session, err := device.session(cmd, s, m, &compile, o.Sampling, func(l runtime.Limits) error {
				if !cmd.Flags().Changed("tokens") {
					o.Max = min(o.Max, l.Context-len(p.ids)+1)
				}
				return l.CheckRoom(0, p.ids, o.Max)
			})
			if err != nil {
				return err
			}
			defer e.Close()
			defer session.Close()
			if verbose {
				defer func() { printStartup(s.Err, e.Startup()) }()
			}
			if prompts.asJSON {
				return answerJSON(cmd.Context(), s, session, m, e.Device, p, o)
			}
			text := s.exact()
			begun := false
			begin := func() { // an error before the first token leaves nothing behind
				if !begun {
					fmt.Fprint(text, p.echo)
				}
				begun = true
			}
			defer func() {
				if begun {
					fmt.Fprintln(text)
				}
			}()
			for token, err := range session.Answer(cmd.Context(), p.ids, o) {
				if err != nil {
					return err
				}
				begin()
				fmt.Fprint(text, token.Text)
			}
			begin()
			return nil
		},
	}
	model.add(cmd)
	compile.add(cmd)
	device.add(cmd, foundry.Auto)
	prompts.add(cmd)
	p := cmd.Flags()
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

// converse talks with a model on a terminal.
func converse(cmd *cobra.Command, s IO, open func() (*foundry.Model, error), compile *compileFlags, device *deviceFlags, prompts *promptFlags, o foundry.GenerateOptions) error {
	start, err := prompts.start(s)
	if err != nil {
		return err
	}
	m, err := open()
	if err != nil {
		return err
	}
	defer m.Close()
	if _, err := m.ChatTemplate(); err != nil {
		return err
	}
	e, session, err := device.session(cmd, s, m, compile, o.Sampling, nil)
	if err != nil {
		return err
	}
	defer e.Close()
	defer session.Close()
	stop := make(chan os.Signal, 1)
	s.process.talking(stop) // an interrupt ends an answer, not all
	defer s.process.talking(nil)
	fmt.Fprintf(s.Err, "Ctrl-C stops an answer, %s begins anew, Ctrl-D ends.\n", resetLine)
	t := &talk{s: s, session: session, model: m, options: o, bounded: cmd.Flags().Changed("tokens"), start: start, stop: stop}
	return t.run(cmd.Context())
}
