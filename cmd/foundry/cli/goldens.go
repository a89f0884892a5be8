package cli

import (
	"encoding/json"
	"fmt"

	"foundry"
	"foundry/runtime"
	"foundry/runtime/eval"

	"github.com/spf13/cobra"
)

// goldenFlags hold a model against what another implementation, or another device,
// says of the same prompts.
type goldenFlags struct {
	file   string
	bounds eval.GoldenBounds
}

func (f *goldenFlags) add(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringVar(&f.file, "goldens", "", "compare with the goldens in this .safetensors or .json file, or with what --logits-out wrote on another device, and fail where they differ")
	p.Float64Var(&f.bounds.NMSE, "nmse", 1e-6, "of --goldens: the most that logits may differ, squared errors over squared values of all of a prompt (f16 caches and operands cost up to 9e-7)")
	p.Float64Var(&f.bounds.Margin, "margin", 0.05, "of --goldens: greedy ids count where the golden's best logit leads by more than this")
}

func (f *goldenFlags) run(cmd *cobra.Command, s IO, m *foundry.Model, c *compileFlags, d *deviceFlags, ids *idsFlags, asJSON bool) error {
	var given []int32
	var err error
	if ids.given(cmd) {
		if given, err = ids.read(cmd, m); err != nil {
			return err
		}
	}
	goldens, err := eval.ReadGoldens(f.file, m, given)
	if err != nil {
		return err
	}
	all := false
	for _, g := range goldens {
		all = all || len(g.Logits) > m.Config.Vocab
	}
	e, err := d.load(cmd, s, m, c, func(start *foundry.StartOptions) {
		start.Compile.AllLogits = all
		start.CheckLimits = func(l runtime.Limits) error {
			for _, g := range goldens {
				if err := l.CheckRoom(0, g.IDs, len(g.Greedy)); err != nil {
					return fmt.Errorf("golden %s: %w", g.Prompt, err)
				}
			}
			return nil
		}
	})
	if err != nil {
		return err
	}
	defer e.Close()
	t := newTable("prompt", "tokens", "logits compared", "NMSE", "max abs", "greedy ids", "").alignRight("tokens", "logits compared", "NMSE", "max abs", "greedy ids")
	failures, worst := 0, 0.0
	for i := range goldens {
		r, err := goldens[i].Compare(cmd.Context(), e, f.bounds)
		if err != nil {
			return fmt.Errorf("golden %s: %w", goldens[i].Prompt, err)
		}
		if !r.OK {
			failures++
		}
		worst = max(worst, r.NMSE)
		if asJSON {
			if err := json.NewEncoder(s.Out).Encode(r); err != nil {
				return err
			}
			continue
		}
		verdict, greedy := "ok", "-"
		if !r.OK {
			verdict = r.Failure()
		} else if r.Same < r.Of {
			verdict = fmt.Sprintf("ok: differs where the margin is %.3g", r.Margin)
		}
		if r.Of > 0 {
			greedy = fmt.Sprintf("%d of %d", r.Same, r.Of)
		}
		t.row(r.Prompt, r.Tokens, r.Logits, fmt.Sprintf("%.2e", r.NMSE), fmt.Sprintf("%.2e", r.MaxAbs), greedy, verdict)
	}
	if !asJSON {
		fmt.Fprintf(s.Out, "%s on %s against %s: worst NMSE %.2e (at most %.0e), greedy ids count above a margin of %g\n",
			m.BaseName(), d.device, f.file, worst, f.bounds.NMSE, f.bounds.Margin)
		t.render(s.Out)
	}
	if failures > 0 {
		return fmt.Errorf("%s on %s: %d of %d goldens are missed", m.BaseName(), d.device, failures, len(goldens))
	}
	return nil
}
