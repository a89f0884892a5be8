package viz

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"io"

	"foundry/ir"
	"foundry/lower/plan"
)

// Side is one of two plans that are compared.
type Side struct {
	Name  string
	Plan  *plan.Plan
	Graph *ir.Graph // what the entry was lowered from; nil for a plan from disk, whose operations then have no shapes
}

// Diff draws an entry of two plans side by side as DOT text, equal layers once. A dispatch
// that the other plan lacks is marked: no dispatch there has its label (in any layer) and
// its operations.
func Diff(a, b Side, entry string) (string, error) {
	var scenes [2]*scene
	o := Options{Layer: AllLayers, Collapse: true, sides: true}
	for i, side := range []Side{a, b} {
		o.Source = side.Graph
		s, err := readPlan(side.Plan, entry, o)
		if err != nil {
			return "", err
		}
		s.collapse()
		scenes[i] = s
	}
	only := markOnly(scenes[0], scenes[1]) + markOnly(scenes[1], scenes[0])
	g := newDocument()
	page(g, legend(fmt.Sprintf("%s, %s: %s beside %s", a.Plan.Model.Name, entry, a.Name, b.Name),
		fmt.Sprintf("with a thick border: what the other lacks, %s; equal layers once", count(only, "dispatch")), scenes[:]...))
	for i, side := range []Side{a, b} {
		head := lines{align: "LEFT"}
		head.add(14, ink, "<B>"+template.HTMLEscapeString(side.Name)+"</B>")
		head.small(scenes[i].facts)
		in := g.cluster.cluster(fmt.Sprintf("side %d", i), "label", head.html(), "fontname", font, "labeljust", "l", "style", "rounded", "color", layerLine, "margin", "16")
		drawIn(g, in, scenes[i], o)
	}
	return g.String(), nil
}

// markOnly marks the units of s that other lacks, and counts them.
func markOnly(s, other *scene) (n int) {
	key := func(u *unit) string {
		text := anyLayer(u.name, u.layer)
		for _, b := range u.boxes {
			text += " " + b.op.String()
		}
		return text
	}
	have := map[string]bool{}
	for _, u := range other.units {
		have[key(u)] = true
	}
	for _, u := range s.units {
		if u.only = !have[key(u)]; u.only {
			n++
		}
	}
	return n
}

// WriteDiff writes one page, without a script, of the difference of two plans: numbers, the
// picture of an entry, and what only one of them has.
func WriteDiff(ctx context.Context, w io.Writer, a, b Side, entry string, d *plan.Difference) error {
	text, err := Diff(a, b, entry)
	if err != nil {
		return err
	}
	var picture bytes.Buffer
	if err := Render(ctx, &picture, "", text, "svg"); err != nil {
		return err
	}
	_, svg, _ := bytes.Cut(picture.Bytes(), []byte("<svg"))
	page, _ := pageFiles.ReadFile("page/diff.html.tmpl") // embedded
	t, err := template.New("diff").Funcs(template.FuncMap{"change": func(n plan.DiffNumber) string { return fmt.Sprintf("%+d", n.B-n.A) }}).Parse(string(page))
	if err != nil {
		return err
	}
	return t.Execute(w, struct {
		*plan.Difference
		Model, Entry string
		Picture      template.HTML
	}{d, a.Plan.Model.Name, entry, template.HTML("<svg" + string(svg))})
}
