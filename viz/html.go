package viz

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"

	"foundry/ir/names"
	"foundry/lower/plan"
)

// Report is what HTML puts on its page; what is empty is left out.
type Report struct {
	Title     string
	Trace     []Snapshot
	Decisions []plan.Decision // empty: the plan's
	Plan      *plan.Plan
	Pictures  []Picture
	Graphviz  string // path of Graphviz's dot; empty: pictures appear as DOT text
}

// Snapshot is the graph as it stood before the first pass or after a pass.
type Snapshot struct {
	Name string // of the pass; "input" for the first
	Text string // of the graph
}

// Picture is DOT text with a heading.
type Picture struct{ Title, DOT string }

//go:embed report.html.tmpl
var reportText string

// HTML writes a page that stands alone: no script, no network, one file.
func HTML(ctx context.Context, w io.Writer, r Report) error {
	page := reportPage{Title: r.Title, Plan: r.Plan}
	previous := ""
	for i, s := range r.Trace {
		view := snapshotView{Name: s.Name, Nodes: nodeLines(s.Text), Changed: i == 0 || s.Text != previous}
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
	page.Decisions = decisionsByPass(decisions)
	if r.Plan != nil {
		for i := range r.Plan.Entries {
			page.Entries = append(page.Entries, entryView(r.Plan, &r.Plan.Entries[i]))
		}
	}
	for _, p := range r.Pictures {
		view := pictureView{Title: p.Title, DOT: p.DOT}
		if r.Graphviz != "" {
			var svg bytes.Buffer
			if err := Render(ctx, &svg, r.Graphviz, p.DOT, "svg"); err != nil {
				return fmt.Errorf("picture %q: %w", p.Title, err)
			}
			view.SVG = inlineSVG(svg.String())
		}
		page.Pictures = append(page.Pictures, view)
	}
	t, err := template.New("report").Funcs(template.FuncMap{"bytes": names.Bytes}).Parse(reportText)
	if err != nil {
		return err
	}
	return t.Execute(w, page)
}

type reportPage struct {
	Title     string
	Plan      *plan.Plan
	Trace     []snapshotView
	Decisions []*passDecisions
	Entries   []planView
	Pictures  []pictureView
}

type snapshotView struct {
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

// passDecisions are the decisions of one pass over one entry, those that differ in
// their layer only as one row.
type passDecisions struct {
	Entry, Pass string
	Rows        []decisionRow
	// Sites of the rows by outcome.
	Matched, Refused, Taken, Unprofitable int
}

type decisionRow struct {
	plan.Group
	Site   string // the node, without its layer
	Layers string // "0..23"
}

func decisionsByPass(all []plan.Decision) []*passDecisions {
	var entries []string
	byEntry := map[string][]plan.Decision{}
	for _, d := range all {
		if byEntry[d.Entry] == nil {
			entries = append(entries, d.Entry)
		}
		byEntry[d.Entry] = append(byEntry[d.Entry], d)
	}
	var out []*passDecisions
	for _, entry := range entries {
		byPass := map[string]*passDecisions{}
		for _, g := range plan.Groups(byEntry[entry]) {
			p := byPass[g.Pass]
			if p == nil {
				p = &passDecisions{Entry: entry, Pass: g.Pass}
				byPass[g.Pass] = p
				out = append(out, p)
			}
			switch g.Outcome {
			case plan.Matched:
				p.Matched += g.Count
			case plan.Refused:
				p.Refused += g.Count
			case plan.Taken:
				p.Taken += g.Count
			case plan.Unprofitable:
				p.Unprofitable += g.Count
			}
			p.Rows = append(p.Rows, decisionRow{g, inLayer(g.Node, g.Layer), layersText(g.Layers)})
		}
	}
	return out
}

// layersText prints a set of layers: "3", "0..23", "0, 4, 5".
func layersText(layers []int) string {
	sorted := slices.Clone(layers)
	slices.Sort(sorted)
	first, last := sorted[0], sorted[len(sorted)-1]
	switch {
	case first < 0:
		return ""
	case first == last:
		return strconv.Itoa(first)
	case last-first+1 == len(sorted):
		return fmt.Sprintf("%d..%d", first, last)
	}
	text := make([]string, len(sorted))
	for i, l := range sorted {
		text[i] = strconv.Itoa(l)
	}
	return strings.Join(text, ", ")
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
			ops = append(ops, n.Op)
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
