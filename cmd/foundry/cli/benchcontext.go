package cli

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"foundry"
	"foundry/lower/compile"
	"foundry/runtime/bench"
)

// contextFlags turn bench to attention at several lengths of text.
type contextFlags struct{ contexts string }

func (f *contextFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.contexts, "contexts", "", "measure attention behind so many tokens, such as 128,2k,8k,32k (with --kernels each kernel alone): every backend of --attention (a list here, all of them unless given) for --phase decode (one token), prefill (--prompt tokens, 512) or both (the default)")
}

// run measures and prints; o is filled in but for what the flags here say, and
// attention is the list that --attention gives.
func (f *contextFlags) run(cmd *cobra.Command, s IO, m *foundry.Model, o bench.Options, attention, format string) error {
	c := bench.ContextOptions{Bench: o, Backends: compile.AttentionBackends()}
	for _, name := range []string{"variants", "plan", "per-kernel", "plot", "context", "csv", "score"} {
		if cmd.Flags().Changed(name) {
			return usagef("bench: --%s has no place beside --contexts", name)
		}
	}
	if format != "table" && format != "json" && format != "markdown" {
		return usagef("bench: --contexts is printed as table, markdown or json, not as %s", format)
	}
	if o.Reps < 1 {
		return usagef("bench: --contexts measures; --reps is %d, want at least 1", o.Reps)
	}
	if attention != "" {
		c.Backends = strings.Split(attention, ",")
	}
	var err error
	if c.Contexts, err = parseContexts(f.contexts); err != nil {
		return err
	}
	rows := 512
	if cmd.Flags().Changed("prompt") {
		rows = o.Prompt
	}
	if rows < 2 {
		return usagef("bench: --prompt is %d, want at least 2 tokens of a prefill", rows)
	}
	phase := "both"
	if cmd.Flags().Changed("phase") {
		phase = o.Phase
	}
	switch phase {
	case "decode":
		c.Rows = []int{1}
	case "prefill":
		c.Rows = []int{rows}
	case "both":
		c.Rows = []int{1, rows}
	default:
		return usagef("bench: there is no phase %q, want decode, prefill or both", phase)
	}
	if !cmd.Flags().Changed("tokens") {
		c.Bench.Tokens = 16
	}
	c.Bench.Variants = nil
	c.Measured = func(rows []bench.ContextRow) {
		s.process.whenInterrupted(func(s IO) error { return printPoints(s, rows, c, format) })
	}
	points, err := bench.Contexts(cmd.Context(), m, c)
	if err != nil {
		return err
	}
	s.process.whenInterrupted(nil)
	return printPoints(s, points, c, format)
}

func printPoints(s IO, points []bench.ContextRow, c bench.ContextOptions, format string) error {
	if format == "json" {
		for i := range points {
			if err := json.NewEncoder(s.Out).Encode(&points[i]); err != nil {
				return err
			}
		}
		return nil
	}
	printContexts(s, points, c, format)
	return nil
}

// parseContexts reads the words of --contexts.
func parseContexts(words string) (out []int, err error) {
	for _, word := range strings.Split(words, ",") {
		n, err := parseTokens(strings.TrimSpace(word))
		if err != nil {
			return nil, usagef("bench: --contexts: %w", err)
		}
		out = append(out, n)
	}
	return out, nil
}

// parseTokens reads a number of tokens: 128, 2k.
func parseTokens(word string) (int, error) {
	number, thousands := strings.CutSuffix(word, "k")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is no number of tokens, such as 128 or 2k", word)
	}
	if thousands {
		n *= 1024
	}
	return n, nil
}

// near is how far auto may lie from the best backend.
const near = 0.05

func printContexts(s IO, rows []bench.ContextRow, c bench.ContextOptions, format string) {
	s.Out = s.folded()
	first := rows[0]
	fmt.Fprintf(s.Out, "%s on %s, attention by context: a step of T tokens behind so many, median of %d, backends interleaved; decode times are a token's, of %d in a row",
		first.Model, first.Device, c.Bench.Reps, c.Bench.Tokens)
	if first.Times != "" {
		fmt.Fprintf(s.Out, " (%s: says nothing of a GPU)", first.Times)
	}
	fmt.Fprintln(s.Out, machineText(first.Machine))
	fmt.Fprintln(s.Out, "the caches hold a pattern of small numbers, no text; auto is compiled for a cache of the point's size and, as auto (full), for the largest")
	columns := []string{"context", "T", "behind", "cache", "attention", "took", "us", "min", "max", "over the best", "attention's share"}
	t := newTable(columns...).alignRight("context", "T", "behind", "cache", "us", "min", "max", "over the best", "attention's share")
	points, met := 0, 0
	var exceptions []string
	for i := range rows {
		r := &rows[i]
		name := r.Backend
		if r.ForLargest {
			name += " (full)"
		}
		if r.Measured == nil {
			t.row(r.Context, r.T, r.P, "", name, "refused", "", "", "", "", "")
			continue
		}
		share := ""
		if r.Attention != nil {
			share = fmt.Sprintf("%.1f %%", 100**r.Attention)
		}
		t.row(r.Context, r.T, r.P, r.Cache, name, r.Chosen, fmt.Sprintf("%.1f", r.Measured.Median), fmt.Sprintf("%.1f", r.Measured.Min), fmt.Sprintf("%.1f", r.Measured.Max),
			fmt.Sprintf("%+.1f %%", 100**r.OverBest), share)
		if r.Backend != "auto" {
			continue
		}
		points++
		if r.Within(near) {
			met++
		} else {
			exceptions = append(exceptions, fmt.Sprintf("%s at %d tokens, T=%d: took %s, %.1f %% over the best", name, r.Context, r.T, r.Chosen, 100**r.OverBest))
		}
	}
	if format == "markdown" {
		t.markdown(s.Out)
	} else {
		t.render(s.Out)
	}
	for i := range rows {
		if rows[i].Refused != "" {
			fmt.Fprintf(s.Out, "refused at %d tokens, T=%d: %s\n", rows[i].Context, rows[i].T, rows[i].Refused)
		}
	}
	fmt.Fprintf(s.Out, "auto is within %.0f %% of the best at %d of %d points\n", 100*near, met, points)
	for _, e := range exceptions {
		fmt.Fprintf(s.Out, "exception: %s\n", e)
	}
}
