package verify

import (
	"fmt"
	"slices"
	"strings"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/ir/target"
	"foundry/lower/metal"
	"foundry/passes"
)

// machine says which kernels the cost model is made to choose, and how weights lie:
// those of a row take all their forms, whatever the shapes of a test would get.
type machine uint8

const (
	tiled  machine = 1 << iota // products and attention in tiles; without it row by row
	planed                     // rows of blocks in planes, where the format has them
	united                     // with tiled: products in matrix units
	once                       // with united: weights of other formats are expanded once
)

// target returns t with costs that force the choice: a machine whose other way of
// multiplying is a million times slower.
func (m machine) target(t *target.Target) *target.Target {
	out := *t
	if m&planed != 0 {
		out.Planes = nil
		for _, t := range dtype.All() {
			if n, _ := t.Block(); t.HasPlanes(int64(n)) {
				out.Planes = append(out.Planes, t.String())
			}
		}
	}
	if m&tiled != 0 {
		out.TFlops, out.Cores = t.TFlops/1e6, 1
	}
	if m&tiled == 0 || m&united != 0 {
		out.TileTFlops = t.TileTFlops / 1e6
	}
	switch {
	case m&united == 0:
		out.MatrixTFlops = 0
	case m&once == 0: // where memory is slow, nobody writes weights
		out.BandwidthGBs = t.BandwidthGBs / 1e6
	}
	return &out
}

// probe is one graph that reaches a kernel: a body of graph text, what is known of
// T and P, and the passes that fuse.
type probe struct {
	body   string
	bounds sym.Bounds
	passes string             // passes that fuse, between the clean-up passes and legalize; "" is a graph without fusion
	on     machine            // the kernels that it gets
	gain   map[string]float32 // inputs that are larger than irgen's by this factor
	values map[string][]float32
	twin   string // the body to compare with, where it is not the same without fusion
	nudge  string // an input that a choice may depend on within 1e-5
	refuse string // a part of the error that the reference and a device owe, in place of results

	// Of a graph from a file, in place of body and passes.
	pipeline   passes.Pipeline
	everywhere bool // runs at the most tokens too, and at every P
}

// decodeProbe is a probe of decode: a single token behind up to cached others.
func decodeProbe(cached int64, passes, body string) probe {
	return probe{body: body, passes: passes, bounds: sym.Bounds{TMin: 1, TMax: 1, PMax: cached, SMax: cached + 1}}
}

// prefillProbe is a probe of prefill: up to tokens tokens in a context.
func prefillProbe(tokens, context int64, passes, body string) probe {
	return probe{body: body, passes: passes, bounds: sym.Bounds{TMin: 1, TMax: tokens, PMax: context - 1, SMax: context}}
}

// inTiles returns p with products and attention in tiles.
func (p probe) inTiles() probe {
	p.on |= tiled
	return p
}

// inMatrices returns p with its products and attention in matrix units, as some machine has them; false of a probe that
// has none in tiles.
func (p probe) inMatrices(as machine) (probe, bool) {
	has := func(o ir.Op) bool { return strings.Contains(p.body, o.String()) }
	is := p.on&tiled != 0 && (has(ir.OpMatmulNT) || has(ir.OpBmmNT) && has(ir.OpBmmNN))
	p.on |= as
	return p, is
}

// inPlanes returns p on a machine that has rows of blocks in planes.
func (p probe) inPlanes() probe {
	p.on |= planed
	return p
}

func (p probe) withGain(input string, by float32) probe {
	p.gain = map[string]float32{input: by}
	return p
}

// graph parses the probe: what a frontend would hand over, alone under name.
func (p probe) graph(name string) (*ir.Graph, error) {
	b := p.bounds
	text := fmt.Sprintf("graph @g (T=%d..%d, P=%d..%d, S<=%d) {\n%s\n}\n", b.TMin, b.TMax, b.PMin, b.PMax, b.SMax, p.body)
	g, err := ir.Parse(name, text)
	if err != nil {
		return nil, err
	}
	if b.TMax == 1 {
		if g, err = g.Specialise(1); err != nil {
			return nil, err
		}
	}
	return g, ir.Verify(g)
}

// fused returns g behind the probe's passes, for t.
func (p probe) fused(g *ir.Graph, t *target.Target) (*ir.Graph, error) {
	out := g.Clone()
	pipeline := p.pipeline
	if pipeline == nil {
		var err error
		if pipeline, err = passes.Parse(pipelineOf(p.passes)); err != nil {
			return nil, err
		}
	}
	log := &passes.Log{}
	choices := metal.NewChoices(t)
	cx := &passes.Context{Target: t, Choices: choices, Log: log, Lowerable: choices.Lowerable}
	if err := pipeline.Run(out, cx); err != nil {
		return nil, err
	}
	if p.passes == "" {
		return out, nil
	}
	for _, c := range pipeline {
		pattern, fuses := strings.CutPrefix(c.Pass.Name, "fuse-")
		if fuses && !slices.ContainsFunc(out.Nodes(), func(n *ir.Node) bool { return n.Attr.Pattern == pattern }) {
			reason := "no site"
			for _, d := range log.Decisions {
				if d.Pattern == pattern {
					reason = d.Reason
				}
			}
			return nil, fmt.Errorf("%s formed nothing: %s", c.Pass.Name, reason)
		}
	}
	return out, nil
}

func pipelineOf(fusions string) string {
	if fusions != "" {
		fusions += ","
	}
	return "canonicalize,cse,dce," + fusions + "legalize"
}

// steps are the sizes that a probe is run with: tokens and cached tokens of the
// checklist, as far as the bounds allow. quick takes each size once, the whole run
// each with two of the others.
func (p probe) steps(quick bool) []sym.Env {
	b := p.bounds
	tokens := []int64{1, 2, 7, 8, 9, 33}
	if p.on&tiled != 0 {
		tokens = append(tokens, 64, 65)
	}
	if p.everywhere && !slices.Contains(tokens, b.TMax) {
		tokens = append(tokens, b.TMax)
	}
	tokens = slices.DeleteFunc(tokens, func(t int64) bool { return t < b.TMin || t > b.TMax })
	var out []sym.Env
	if !p.everywhere && !strings.ContainsAny(p.body, "PS") { // nothing depends on P
		for _, t := range tokens {
			out = append(out, sym.Env{T: t})
		}
		return out
	}
	const last = -1
	cached := []int64{0, 1, 1023, last}
	for i := range max(len(tokens), len(cached)) {
		for j := range cached {
			e := sym.Env{T: tokens[i%len(tokens)], P: cached[(i+j)%len(cached)]}
			if e.P == last {
				e.P = b.SMax - e.T
			}
			if b.Contains(e) && !slices.Contains(out, e) {
				out = append(out, e)
			}
			if quick || j == 1 {
				break
			}
		}
	}
	return out
}

// fillBody writes a body: NAME=value pairs for the {NAME} in it.
func fillBody(body string, pairs ...any) string {
	var in []string
	for i := 0; i < len(pairs); i += 2 {
		in = append(in, "{"+pairs[i].(string)+"}", fmt.Sprint(pairs[i+1]))
	}
	return strings.NewReplacer(in...).Replace(strings.TrimSpace(body))
}

// rowLengths are row lengths that weights of t allow: those of the checklist, and odd
// ones. The first two are what a quick run takes.
func rowLengths(t dtype.Type) []int64 {
	per, _ := t.Block()
	all := []int64{33, 896, 1, 31, 32, 4864, 8960, 1001}
	if per > 1 {
		all = []int64{int64(3 * per), 896, int64(per), 4864, 8960}
	}
	return slices.DeleteFunc(all, func(n int64) bool { return n%int64(per) != 0 })
}

// firstFew returns the first n of list, all of them in a whole run.
func firstFew[E any](quick bool, n int, list []E) []E {
	if quick {
		return list[:min(n, len(list))]
	}
	return list
}
