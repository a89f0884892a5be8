package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"foundry"
	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/names"
	"foundry/ir/sym"
	"foundry/lower/plan"
	"foundry/passes"

	"github.com/spf13/cobra"
)

func inspectCommand(s IO) *cobra.Command {
	var cached int
	var asJSON, scan bool
	cmd := &cobra.Command{
		Use:   "inspect MODEL|PLAN-DIR|FILE.fir",
		Short: "Show what a model, a plan or a graph consists of, and verify it",
		Example: `  foundry inspect kjv-2m
  foundry inspect model.gguf --scan
  foundry inspect plan/
  foundry inspect plan/ --cached 4000 --json
  foundry inspect graph.fir`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cached < 0 {
				return usagef("inspect: --cached is %d, want at least 0", cached)
			}
			if _, err := os.Stat(filepath.Join(args[0], "plan.json")); err == nil {
				if scan {
					return usagef("inspect: --scan is of models; %s is a plan, which holds no weights", args[0])
				}
				p, err := plan.Load(args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(s.Out).Encode(planJSON{p.Model, p.Options, p.Hash, statsOf(p, cached)})
				}
				printPlan(s, p, cached)
				return nil
			}
			if asJSON {
				return usagef("inspect: --json is of plans; %s is none", args[0])
			}
			m, err := (&modelFlags{model: args[0]}).open(s)
			if err != nil {
				return err
			}
			defer m.Close()
			if m.Graph != nil {
				if scan {
					return usagef("inspect: --scan is of models; %s is a graph, which holds no weights", args[0])
				}
				printGraph(s, m.Graph)
				return nil
			}
			printModel(s, m)
			if scan {
				return scanModel(cmd, s, m)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&scan, "scan", false, "of a model: read all weights and count NaN and infinities by tensor; exit code 1 where there are any")
	cmd.Flags().IntVar(&cached, "cached", 256, "tokens in the cache, for the byte counts of a plan's decode step")
	cmd.Flags().BoolVar(&asJSON, "json", false, "of a plan: print one JSON object")
	return cmd
}

// planJSON is what `inspect PLAN-DIR --json` prints.
type planJSON struct {
	Model   plan.Model        `json:"model"`
	Options plan.Options      `json:"options"`
	Hash    string            `json:"hash"`
	Entries []plan.EntryStats `json:"entries"`
}

// statsOf counts what the plan's entries do: as many tokens as they take, decode
// behind cached tokens; and last its preparation.
func statsOf(p *plan.Plan, cached int) []plan.EntryStats {
	var out []plan.EntryStats
	for _, e := range p.Runs() {
		out = append(out, p.Stats(e, inspectedAt(p, e, cached)))
	}
	return out
}

func inspectedAt(p *plan.Plan, e *plan.Entry, cached int) sym.Env {
	env := sym.Env{T: e.TMax}
	if e.TMax == 1 {
		env.P = max(0, min(int64(cached), p.MaxP(e, 1)))
	}
	return env
}

// printPlan prints a plan's header and, for each entry, its totals and kernels.
func printPlan(s IO, p *plan.Plan, cached int) {
	s.Out = s.folded()
	o := p.Options
	how := passes.VariantName(o.Variant)
	if how == "" {
		how = "own passes"
	}
	edited := ""
	if p.Edited {
		edited = ", edited by hand and sealed"
	}
	names.Line(s.Out, "%s for %s (%s; weights %s, cache %s, attention %s by %s), context %d, MSL %s%s\n",
		p.Model.Name, o.Target, how, o.Weights, o.Cache, o.Attention, o.AttentionChosen, p.Model.Context, p.MSL, edited)
	if v, err := passes.Variant(o.Variant); err == nil && v.String() == o.Passes {
		names.Line(s.Out, "passes: %s (foundry variants %s prints them)\n", o.Variant, o.Variant)
	} else {
		names.Line(s.Out, "passes: %s\n", o.Passes)
	}
	if o.PrefillPasses != "" {
		names.Line(s.Out, "passes of prefill: %s\n", o.PrefillPasses)
	}
	names.Line(s.Out, "weights %s, state %s, arena %s, %d kernels; verified, plan hash %.12s\n",
		names.Bytes(p.ClassBytes(plan.Weight)), names.Bytes(p.ClassBytes(plan.State)), names.Bytes(p.ArenaBytes), len(p.Kernels), p.Hash)
	if p.Tokens != nil && len(p.Tokens.Ends) > 0 {
		names.Line(s.Out, "ends %v, %d control tokens, chat template: %t\n", p.Tokens.Ends, len(p.Tokens.Special), p.Tokens.Template != nil)
	}
	for _, e := range p.Runs() {
		printEntry(s, p, e, cached)
	}
}

func printEntry(s IO, p *plan.Plan, e *plan.Entry, cached int) {
	env := inspectedAt(p, e, cached)
	st := p.Stats(e, env)
	names.Line(s.Out, "\n%s (T=%d, P=%d): %s, %s, %s, %s, %s moved\n", e.Name, env.T, env.P,
		counted(st.Dispatches, "dispatch", "es"), counted(st.Waves, "wave", "s"), counted(st.Barriers, "barrier", "s"), buffersText(st.CommandBuffers), names.Bytes(st.MovedBytes))
	if m := e.Modelled; m != nil {
		names.Line(s.Out, "modelled on %s, uncalibrated (T=%d, P=%d): kernels and barriers %s, encoding %s; %s in %s, %s in one\n",
			p.Options.Target, m.T, m.P, usText(m.DeviceUs), usText(m.EncodeUs), usText(m.Us), buffersText(len(e.CommandBuffers)), usText(m.OneBufferUs))
		if e.Role == plan.Decode {
			names.Line(s.Out, "in chains of %d steps a command buffer, the next one in flight: %s a step\n", max(1, e.Chain), usText(m.ChainedUs))
		}
	}
	t := newTable("kernel", "dispatches", "threads", "threadgroup bytes", "threadgroups", "moved", "flops/byte").
		alignRight("dispatches", "threads", "threadgroup bytes", "threadgroups", "moved", "flops/byte")
	for _, k := range st.Kernels {
		t.row(k.Kernel, k.Dispatches, k.Threads, k.ThreadgroupBytes, k.Threadgroups, names.Bytes(k.MovedBytes), fmt.Sprintf("%.2f", k.Intensity()))
	}
	t.render(s.Out)
}

func buffersText(n int) string { return counted(n, "command buffer", "s") }

// counted is so many of what, which has the ending where they are not one.
func counted(n int, what, ending string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %s%s", n, what, ending)
}

func printModel(s IO, m *foundry.Model) {
	s.Out = s.folded()
	c := m.Config
	tied := "untied"
	if c.Tied {
		tied = "tied"
	}
	names.Line(s.Out, "%s: %s, %d layers, hidden %d, intermediate %d, %d query heads, %d key-value heads, head_dim %d, vocabulary %d (%s), %d positions\n",
		m.BaseName(), c.ModelType, c.Layers, c.Hidden, c.Intermediate, c.Heads, c.KVHeads, c.HeadDim, c.Vocab, tied, c.MaxPositions)
	printGroups(s, m.TensorGroups())
}

// scanModel prints the tensors that hold what is not finite; it is an error where there
// are any.
func scanModel(cmd *cobra.Command, s IO, m *model.Model) error {
	found, err := m.Scan(cmd.Context(), progress(s.Err))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		fmt.Fprintln(s.Out, "scanned: all values are finite")
		return nil
	}
	t := newTable("tensor", "dtype", "values", "NaN", "infinite").alignRight("values", "NaN", "infinite")
	for _, f := range found {
		t.row(f.Name, f.DType, f.Values, f.NaN, f.Infinite)
	}
	t.render(s.Out)
	return fmt.Errorf("%s: tensors that hold values that are not finite: %d", m.Name, len(found))
}

func printGroups(s IO, groups []model.TensorGroup) {
	t := newTable("dtype", "tensors", "parameters", "bytes").alignRight("tensors", "parameters", "bytes")
	for _, g := range groups {
		t.row(g.DType, g.Tensors, g.Elements, names.Bytes(g.Bytes))
	}
	t.render(s.Out)
}

func printGraph(s IO, g *ir.Graph) {
	b := g.Bounds
	names.Line(s.Out, "graph @%s: T=%d..%d, P=%d..%d, S<=%d; verified\n", g.Name, b.TMin, b.TMax, b.PMin, b.PMax, b.SMax)
	t := newTable("kind", "name", "type")
	for _, p := range g.Params {
		t.row(p.Param.Kind, p.Param.Name, p.Type)
	}
	for _, r := range g.Results {
		t.row("result", r.Name, r.Value.Type)
	}
	t.render(s.Out)
	counts := map[ir.Op]int{}
	for _, n := range g.Nodes() {
		counts[n.Op]++
	}
	ops := newTable("op", "nodes").alignRight("nodes")
	for _, op := range ir.Ops() {
		if counts[op] > 0 {
			ops.row(op, counts[op])
		}
	}
	fmt.Fprintln(s.Out)
	ops.render(s.Out)
}
