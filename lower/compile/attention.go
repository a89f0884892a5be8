package compile

import (
	"fmt"
	"slices"
	"strings"

	"foundry/ir/kernel"
	"foundry/lower/plan"
	"foundry/passes"
)

// attentionPasses says which fusing pass makes each backend; "auto" takes the
// pipeline as it is and "chained" takes all of them out.
var attentionPasses = map[string][]string{
	"auto":    nil,
	"chained": {},
	"flash":   {"fuse-attention{kernel=" + kernel.OnePass + "}", "fuse-rope-attention"},
	"split":   {"fuse-attention{kernel=" + kernel.AttentionInParts + "}", "fuse-attention-split-o"},
}

// attentionBackends lists the backends, auto first.
var attentionBackends = [...]string{"auto", "chained", "flash", "split"}

// AttentionBackends lists the values of Options.Attention. chained runs
// scores, softmax and product as dispatches of their own, flash as one, split as
// parts and their merge; auto leaves it to the pipeline.
func AttentionBackends() []string { return slices.Clone(attentionBackends[:]) }

// Parse reads a pipeline of the options' table of passes.
func (o Options) Parse(text string) (passes.Pipeline, error) {
	if o.Table == nil {
		return passes.Parse(text)
	}
	return o.Table.Parse(text)
}

// PipelineOf returns the passes that o asks for over an entry.
func (o Options) PipelineOf(entry string) (passes.Pipeline, error) {
	if entry == "prefill" && o.PrefillPasses != "" {
		o.Variant, o.Passes = "", o.PrefillPasses
	}
	return o.Pipeline()
}

// Pipeline returns the passes that o asks for wherever nothing else is said.
func (o Options) Pipeline() (passes.Pipeline, error) {
	var p passes.Pipeline
	var err error
	if o.Passes != "" {
		p, err = o.Parse(o.Passes)
	} else {
		p, err = passes.Variant(o.Variant)
	}
	if err != nil || o.Attention == "auto" {
		return p, err
	}
	// A forced backend takes the place of whichever stands in the pipeline.
	wanted := attentionPasses[o.Attention]
	at := -1
	var out passes.Pipeline
	for _, c := range p {
		if !isAttentionPass(c.Pass.Name) {
			out = append(out, c)
		} else if at < 0 {
			at = len(out)
		}
	}
	if len(wanted) == 0 {
		return out, nil
	}
	if at < 0 {
		at = len(out)
		if i := slices.IndexFunc(out, func(c passes.Call) bool { return c.Pass.Name == "legalize" }); i >= 0 {
			at = i
		}
	}
	forced, err := passes.Parse(wanted[0])
	if err != nil {
		return nil, err
	}
	return o.Parse(slices.Insert(out, at, forced...).String())
}

// passName is the name of a call's pass.
func passName(call string) string {
	name, _, _ := strings.Cut(call, "{")
	return name
}

func isAttentionPass(name string) bool {
	for _, list := range attentionPasses {
		if slices.ContainsFunc(list, func(call string) bool { return passName(call) == name }) {
			return true
		}
	}
	return false
}

// checkForced is an error where a forced backend was refused: a fallback would be
// silent.
func (g *Graphs) checkForced() error {
	o := g.Options
	if len(attentionPasses[o.Attention]) == 0 {
		return nil
	}
	for _, d := range g.Decisions {
		if d.Outcome != plan.Matched && isAttentionPass(passName(d.Pass)) {
			return fmt.Errorf("attention backend %s (from %s) cannot serve %s: %s", o.Attention, o.AttentionChosen, d.Node, strings.TrimSuffix(d.Reason, "."))
		}
	}
	return nil
}
