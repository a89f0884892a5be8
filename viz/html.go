package viz

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"foundry/ir"
	"foundry/lower/plan"
)

// Report is what HTML puts on its page; what is empty is left out.
type Report struct {
	Title     string
	Trace     []Stage
	Decisions []plan.Decision // empty: the plan's
	Plan      *plan.Plan
	Pictures  []Picture
	Graphviz  string // path of Graphviz's dot; empty: pictures appear as DOT text
}

// Stage is the graph as it stood before the first pass or after a pass.
type Stage struct {
	Name string // of the pass; "input" for the first
	Text string // of the graph
}

// Picture is DOT text with a heading.
type Picture struct{ Title, DOT string }

//go:embed report.html.tmpl
var reportText string

// HTML writes a page that stands alone: no script, no network, one file.
func HTML(w io.Writer, r Report) error {
	page := reportPage{Title: r.Title, Plan: r.Plan}
	previous := ""
	for i, s := range r.Trace {
		view := stageView{Name: s.Name, Nodes: nodeLines(s.Text), Changed: i == 0 || s.Text != previous}
		view.Delta = view.Nodes - nodeLines(previous)
		if i == 0 {
			view.Delta = 0
		}
		if view.Changed {
			view.Text = s.Text
		}
		page.Trace = append(page.Trace, view)
		previous = s.Text
	}
	decisions := r.Decisions
	if len(decisions) == 0 && r.Plan != nil {
		decisions = r.Plan.Decisions
	}
	page.Groups = groupDecisions(decisions)
	if r.Plan != nil {
		for i := range r.Plan.Entries {
			page.Entries = append(page.Entries, entryView(r.Plan, &r.Plan.Entries[i]))
		}
	}
	for _, p := range r.Pictures {
		view := pictureView{Title: p.Title, DOT: p.DOT}
		if r.Graphviz != "" {
			var svg bytes.Buffer
			if err := Render(&svg, r.Graphviz, p.DOT, "svg"); err != nil {
				return fmt.Errorf("picture %q: %w", p.Title, err)
			}
			view.SVG = inlineSVG(svg.String())
		}
		page.Pictures = append(page.Pictures, view)
	}
	t, err := template.New("report").Funcs(template.FuncMap{"bytes": byteText}).Parse(reportText)
	if err != nil {
		return err
	}
	return t.Execute(w, page)
}

type reportPage struct {
	Title    string
	Plan     *plan.Plan
	Trace    []stageView
	Groups   []decisionGroup
	Entries  []planView
	Pictures []pictureView
}

type stageView struct {
	Name, Text   string
	Nodes, Delta int
	Changed      bool
}

type pictureView struct {
	Title, DOT string
	SVG        template.HTML
}

// nodeLines counts the lines of a graph's text that make a value outside any
// region and that are no params.
func nodeLines(text string) int {
	n := 0
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "  %")
		if !ok {
			continue
		}
		_, def, _ := strings.Cut(rest, " = ")
		switch word, _, _ := strings.Cut(def, " "); word {
		case "input", "weight", "state", "const", "arg":
		default:
			n++
		}
	}
	return n
}

// inlineSVG drops what stands before the svg element, which a page may not hold.
func inlineSVG(s string) template.HTML {
	if at := strings.Index(s, "<svg"); at > 0 {
		s = s[at:]
	}
	return template.HTML(s)
}

// decisionGroup holds the decisions of one pattern with one outcome and reason.
type decisionGroup struct {
	Pass, Pattern, Outcome, Reason string
	Sites                          []plan.Decision
	Bytes                          int64
	Waves                          int
}

// groupDecisions joins decisions that differ only in their site, in the order of
// their first site.
func groupDecisions(all []plan.Decision) []decisionGroup {
	type key struct{ pass, pattern, outcome, reason string }
	at := map[key]int{}
	var groups []decisionGroup
	for _, d := range all {
		// A reason may name its layer: sites of one pattern in all layers are one group.
		k := key{d.Pass, d.Pattern, d.Outcome, anyLayers(d.Reason, d.Layer)}
		i, ok := at[k]
		if !ok {
			i = len(groups)
			at[k] = i
			groups = append(groups, decisionGroup{Pass: d.Pass, Pattern: d.Pattern, Outcome: d.Outcome, Reason: k.reason})
		}
		g := &groups[i]
		g.Sites = append(g.Sites, d)
		g.Bytes += d.Bytes
		g.Waves += d.Waves
	}
	return groups
}

// anyLayers is anyLayer for every name in a sentence.
func anyLayers(text string, layer int) string {
	if layer < 0 {
		return text
	}
	return strings.ReplaceAll(text, fmt.Sprintf("layers.%d.", layer), "layers.N.")
}

// planView is the table of an entry.
type planView struct {
	Name, Range string
	Rows        []planRow
	Waves       int
	Kernels     int
}

// planRow is a dispatch.
type planRow struct {
	Label, Kernel, Grid, Moved, Ops string
	Threads, Wave                   int
	First                           bool // of its wave
	Buffer                          int  // command buffer, from 1; 0 where the one before goes on
}

func entryView(p *plan.Plan, e *plan.Entry) planView {
	v := planView{Name: e.Name, Range: fmt.Sprintf("T = %d..%d", e.TMin, e.TMax)}
	if e.TMin == e.TMax {
		v.Range = fmt.Sprintf("T = %d", e.TMin)
	}
	starts := map[int]int{}
	for i, c := range e.CommandBuffers {
		starts[c.First] = i + 1
	}
	kernels, wave, pending := map[int]bool{}, -1, 0
	for i, s := range e.Steps {
		if n, ok := starts[i]; ok {
			pending = n
		}
		d := s.Dispatch
		if d == nil {
			continue
		}
		k := &p.Kernels[d.Kernel]
		kernels[d.Kernel] = true
		ops := make([]string, 0, len(d.Nodes))
		for _, n := range d.Nodes {
			label, op := splitNode(n)
			if op != ir.OpInvalid {
				label = op.String()
			}
			ops = append(ops, label)
		}
		v.Rows = append(v.Rows, planRow{
			Label: d.Label, Kernel: k.Name, Grid: gridText(d.Grid), Threads: k.Threads[0] * k.Threads[1] * k.Threads[2],
			Moved: polyBytes(d.Moved), Ops: strings.Join(ops, ", "), Wave: d.Wave, First: d.Wave != wave, Buffer: pending,
		})
		if d.Wave != wave {
			v.Waves++
		}
		wave, pending = d.Wave, 0
	}
	v.Kernels = len(kernels)
	return v
}
