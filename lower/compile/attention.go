package compile

import (
	"fmt"
	"slices"
	"strings"

	"foundry/ir/kernel"
	"foundry/lower/plan"
	"foundry/passes"
)

// backends are what attention can be forced to; auto takes the pipeline as it is.
var backends = [...]backend{
	{name: "auto"},
	{name: "chained"},
	{name: "flash", kernel: kernel.OnePass, fuses: []string{plainAttention, "fuse-rope-attention"}},
	{name: "split", kernel: kernel.AttentionInParts, fuses: []string{plainAttention, "fuse-rope-attention", mergedAttention}},
}

// backend is a way to run attention, and the passes that make it.
type backend struct {
	name   string
	kernel string   // words of the kernel that its regions get; none: no region is formed
	fuses  []string // passes whose regions can get it
}

const (
	plainAttention  = "fuse-attention"
	mergedAttention = "fuse-attention-split-o" // always in parts: its kernel's words are the projection's
)

// attentionPasses are the passes that form regions of attention.
var attentionPasses = backends[len(backends)-1].fuses

func backendNamed(name string) backend {
	i := slices.IndexFunc(backends[:], func(b backend) bool { return b.name == name })
	return backends[max(0, i)]
}

// AttentionBackends lists the values of Options.Attention. chained runs
// scores, softmax and product as dispatches of their own, flash as one, split as
// parts and their merge; auto leaves it to the pipeline.
func AttentionBackends() (names []string) {
	for _, b := range backends {
		names = append(names, b.name)
	}
	return names
}

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
	return o.Parse(backendNamed(o.Attention).force(p).String())
}

// force returns p with its passes of attention pinned to the backend, those that cannot be
// left out. Whatever they leave, plain attention takes, which may not refuse.
func (b backend) force(p passes.Pipeline) passes.Pipeline {
	var out passes.Pipeline
	at, plain := -1, false // the place of plain attention, and whether it stands there
	for _, c := range p {
		name := c.Pass.Name
		if !slices.Contains(attentionPasses, name) {
			out = append(out, c)
			continue
		}
		if slices.Contains(b.fuses, name) {
			out = append(out, b.pin(c))
			plain = plain || name == plainAttention
		}
		at = len(out)
	}
	if plain || b.kernel == "" {
		return out
	}
	if at < 0 {
		if at = slices.IndexFunc(out, func(c passes.Call) bool { return c.Pass.Name == "legalize" }); at < 0 {
			at = len(out)
		}
	}
	forced := passes.Call{Pass: passNamed(plainAttention), Options: []passes.Setting{{Name: "kernel", Value: b.kernel}}}
	return slices.Insert(out, at, forced)
}

// pin returns c with the backend's kernel; plain attention is no longer weighed.
func (b backend) pin(c passes.Call) passes.Call {
	if c.Pass.Name == mergedAttention {
		return c
	}
	c.Options = slices.DeleteFunc(slices.Clone(c.Options), func(s passes.Setting) bool {
		return s.Name == "kernel" || s.Name == "when" && c.Pass.Name == plainAttention
	})
	c.Options = append(c.Options, passes.Setting{Name: "kernel", Value: b.kernel})
	return c
}

func passNamed(name string) *passes.Pass {
	all := passes.BuiltIn().Passes()
	return all[slices.IndexFunc(all, func(p *passes.Pass) bool { return p.Name == name })]
}

// checkForced is an error where plain attention was refused under a forced backend, and no
// larger region has taken the site: a fallback would be silent.
func (g *Graphs) checkForced() error {
	o := g.Options
	if backendNamed(o.Attention).kernel == "" {
		return nil
	}
	served := map[string]bool{} // entries and labels of what regions of attention hold
	for _, e := range g.Entries {
		for _, n := range e.Nodes() {
			if n.Region != nil && slices.Contains(attentionPasses, "fuse-"+n.Attr.Pattern) {
				for _, m := range n.Region.Nodes() {
					served[e.Name+" "+m.Label] = true
				}
			}
		}
	}
	for _, d := range g.Decisions {
		name, _, _ := strings.Cut(d.Pass, "{")
		if name == plainAttention && d.Outcome != plan.Matched && !served[d.Entry+" "+d.Node] {
			return fmt.Errorf("attention backend %s (from %s) cannot serve %s: %s", o.Attention, o.AttentionChosen, d.Node, strings.TrimSuffix(d.Reason, "."))
		}
	}
	return nil
}
