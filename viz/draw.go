package viz

import (
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"

	"foundry/ir"
)

// draw gives the scene its look.
func draw(s *scene, o Options) *document {
	g := newDocument()
	page(g, legend(s.title, s.facts, s))
	drawIn(g, &g.cluster, s, o)
	return g
}

// drawIn draws the scene in a part of the document.
func drawIn(g *document, in *cluster, s *scene, o Options) {
	d := drawing{
		g: g, in: in, o: o,
		nodes: map[*unit][]*node{}, params: map[string]*node{}, clusters: map[*unit]string{}, layers: map[int]*cluster{}, stubs: map[string]*node{}, handed: map[string]bool{},
		waves: s.waves, compact: o.Collapse && s.boxCount() > compactFrom,
	}
	for _, u := range s.units {
		d.unit(u)
	}
	for _, u := range s.units {
		in := u.in
		if s.waves {
			in = mergeParallel(in)
		}
		for _, op := range in {
			d.operand(u, op)
		}
	}
	for _, r := range s.returns {
		d.result(r)
	}
	if s.waves {
		d.barriers(s.units)
	}
}

// mergeParallel joins the operands that one dispatch takes from another: in a plan the
// edges run between dispatches, and one is enough.
func mergeParallel(in []operand) []operand {
	var out []operand
	for _, op := range in {
		i := slices.IndexFunc(out, func(o operand) bool { return o.from != nil && o.from == op.from && o.loop == op.loop })
		if i < 0 {
			out = append(out, op)
			continue
		}
		out[i].text += "\n+ " + op.text
	}
	return out
}

type drawing struct {
	g        *document
	in       *cluster // the cluster that all of it stands in
	o        Options
	nodes    map[*unit][]*node // a unit's boxes; one for all where the unit is compact
	params   map[string]*node
	stubs    map[string]*node
	clusters map[*unit]string
	layers   map[int]*cluster
	handed   map[string]bool // values that have their box below
	waves    bool
	compact  bool
}

// page says how the document looks, and what stands above it.
func page(g *document, title string) {
	g.attrs.set(
		"fontname", font, "fontsize", "14", "fontcolor", ink, "labelloc", "t", "labeljust", "l",
		"rankdir", "TB", "nodesep", "0.25", "ranksep", "0.35", "compound", "true", "newrank", "true",
		"splines", "true", "bgcolor", "#ffffff", "pad", "0.2", "label", markup(title),
	)
}

// legend is the title with the colours that the scenes use.
func legend(title, facts string, scenes ...*scene) string {
	used := map[string]bool{}
	for _, s := range scenes {
		for _, u := range s.units {
			for _, b := range u.boxes {
				used[lookOf(b.op).name] = true
			}
		}
	}
	var chips strings.Builder
	for _, l := range looks {
		if used[l.name] {
			fmt.Fprintf(&chips, `<TD BGCOLOR="%s" BORDER="1" COLOR="%s"><FONT POINT-SIZE="9"> %s </FONT></TD>`, l.fill, l.border, l.name)
		}
	}
	text := `<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="4" CELLPADDING="2">`
	text += fmt.Sprintf(`<TR><TD COLSPAN="%d" ALIGN="LEFT"><FONT POINT-SIZE="16"><B>%s</B></FONT></TD></TR>`, len(looks), html.EscapeString(title))
	text += fmt.Sprintf(`<TR><TD COLSPAN="%d" ALIGN="LEFT"><FONT POINT-SIZE="10" COLOR="%s">%s</FONT></TD></TR>`, len(looks), faded, html.EscapeString(facts))
	if chips.Len() > 0 {
		text += "<TR>" + chips.String() + "</TR>"
	}
	return text + "</TABLE>"
}

// home returns the cluster of the unit's layer, or the page.
func (d *drawing) home(u *unit) *cluster {
	if u.layer < 0 {
		return d.in
	}
	if c := d.layers[u.layer]; c != nil {
		return c
	}
	title := fmt.Sprintf("layer %d", u.layer)
	if u.run != nil {
		title = fmt.Sprintf("layers %d..%d × %d", u.run.first, u.run.last, u.run.count())
	}
	colour, line, width := faded, layerLine, 1
	if u.run != nil {
		colour, line, width = loopColour, loopColour, 2
	}
	head := lines{align: "LEFT"}
	head.add(13, colour, "<B>"+html.EscapeString(title)+"</B>")
	c := d.in.cluster(fmt.Sprintf("layer %d", u.layer), "label", head.html(), "fontname", font, "labeljust", "l",
		"style", "rounded", "color", line, "penwidth", width, "bgcolor", "#fdfdfd", "margin", "14")
	d.layers[u.layer] = c
	return c
}

func (d *drawing) unit(u *unit) {
	home := d.home(u)
	if d.compact && u.fused {
		n := home.node(u.name, "label", d.compactText(u), "shape", "box", "style", "filled,rounded", "fillcolor", regionFill, "color", regionLine,
			"fontname", font, "fontsize", "11", "fontcolor", ink, "margin", "0.1,0.06")
		d.only(n.attributes, u)
		d.mark(n.attributes, u)
		d.nodes[u] = []*node{n}
		return
	}
	if u.fused {
		home = home.cluster(u.name, "label", d.head(u).html(), "fontname", font, "fontsize", "11", "labeljust", "l",
			"style", "filled,rounded", "fillcolor", regionFill, "color", regionLine, "penwidth", "1", "margin", "10")
		d.only(home.attrs, u)
		d.mark(home.attrs, u)
		d.clusters[u] = home.name
	}
	for _, b := range u.boxes {
		name := u.name
		if u.fused {
			name += " / " + b.op.String() + " " + b.label
		}
		l := lookOf(b.op)
		n := home.node(name, "label", d.boxText(u, b), "shape", "box", "style", l.style, "fillcolor", l.fill, "color", l.border,
			"fontname", font, "fontsize", "11", "fontcolor", ink, "margin", "0.1,0.05", "height", "0.3")
		if !u.fused {
			d.mark(n.attributes, u)
		}
		d.nodes[u] = append(d.nodes[u], n)
	}
	for _, w := range u.wires {
		e := d.g.edge(d.nodes[u][w.from], d.nodes[u][w.to])
		if w.ordering {
			e.set("style", "invis")
			continue
		}
		e.set("color", wireColour, "arrowsize", "0.6")
	}
}

// only marks a unit that the other side of a comparison lacks.
func (d *drawing) only(a attributes, u *unit) {
	if u.only {
		a.set("color", onlyColour, "fillcolor", onlyFill, "penwidth", "3")
	}
}

// mark gives a unit's element of an SVG an id, where pictures have them.
func (d *drawing) mark(a attributes, u *unit) {
	if d.o.Ids {
		a.set("id", "u-"+u.name)
	}
}

// lines is an HTML label of left-aligned or centred lines.
type lines struct {
	align string
	rows  []string
}

func (l *lines) add(size int, colour, markup string) {
	l.rows = append(l.rows, fmt.Sprintf(`<TR><TD ALIGN="%s"><FONT POINT-SIZE="%d" COLOR="%s">%s</FONT></TD></TR>`, l.align, size, colour, markup))
}

func (l *lines) small(text string) { l.add(9, faded, html.EscapeString(text)) }

func (l *lines) html() markup {
	return markup(`<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">` + strings.Join(l.rows, "") + `</TABLE>`)
}

func (d *drawing) boxText(u *unit, b box) markup {
	l := lines{align: "CENTER"}
	name := html.EscapeString(inLayer(b.label, u.layer))
	if b.op == ir.OpInvalid {
		l.add(11, ink, "<B>"+name+"</B>")
	} else {
		l.add(11, ink, "<B>"+b.op.String()+"</B>  "+name)
	}
	for _, text := range b.lines {
		l.small(text)
	}
	if !u.fused {
		d.time(&l, u)
	}
	return l.html()
}

func (d *drawing) head(u *unit) *lines {
	l := &lines{align: "LEFT"}
	l.add(11, ink, "<B>"+html.EscapeString(inLayer(u.head[0], u.layer))+"</B>")
	for _, h := range u.head[1:] {
		if h != "" {
			l.small(inLayer(h, u.layer))
		}
	}
	d.time(l, u)
	return l
}

// compactText lists the operations of a unit with equal ones counted:
// "rms_norm, 3 matmul_nt, 3 add".
func (d *drawing) compactText(u *unit) markup {
	names, counts := []string{}, map[string]int{}
	for _, b := range u.boxes {
		name := b.op.String()
		if b.op == ir.OpInvalid {
			name = b.label
		}
		if counts[name]++; counts[name] == 1 {
			names = append(names, name)
		}
	}
	for i, name := range names {
		if counts[name] > 1 {
			names[i] = fmt.Sprintf("%d %s", counts[name], name)
		}
	}
	l := d.head(u)
	l.add(10, ink, html.EscapeString(strings.Join(names, ", ")))
	return l.html()
}

// time adds a unit's measured time: of a run of equal layers, the mean of those
// that were measured.
func (d *drawing) time(l *lines, u *unit) {
	labels := []string{u.name}
	if before, _, after, ok := layerRef(u.name); ok && u.run != nil {
		labels = labels[:0]
		for k := u.run.first; k <= u.run.last; k++ {
			labels = append(labels, before+strconv.Itoa(k)+after)
		}
	}
	sum, n := 0.0, 0
	for _, label := range labels {
		if us, ok := d.o.Times[label]; ok {
			sum, n = sum+us, n+1
		}
	}
	switch {
	case n == 0:
	case n == 1:
		l.add(10, barColour, fmt.Sprintf("<B>%.4g µs</B>", sum))
	default:
		l.add(10, barColour, fmt.Sprintf("<B>%.4g µs</B> × %d", sum/float64(n), n))
	}
}

func (d *drawing) box(u *unit, i int) *node {
	nodes := d.nodes[u]
	return nodes[min(i, len(nodes)-1)]
}

func (d *drawing) operand(u *unit, op operand) {
	to := d.box(u, op.box)
	switch {
	case op.par != nil:
		if n, ok := d.param(op.par); ok {
			d.lead(d.edge(n, to, op.text), nil, u).set("color", paramLooks[op.par.kind].border)
		}
	case op.stub:
		n := d.stub("from", op.from.name, op.out)
		d.lead(d.edge(n, to, op.text), nil, u).set("style", "dashed", "color", stubColour)
	case op.loop:
		d.carried(u, op)
	default:
		e := d.edge(d.box(op.from, op.from.outs[op.out]), to, op.text)
		d.lead(e, op.from, u)
	}
}

// carried draws a value that each layer of a run hands to the next: where it is made an
// edge to a box below, where it is taken one from a box above. Edges back would run
// through all that lies between.
func (d *drawing) carried(u *unit, op operand) {
	box := func(name, text string) *node {
		return d.home(u).node(name, "label", text, "shape", "box", "style", "filled,dashed,rounded", "fillcolor", "#ffffff", "color", loopColour, "fontcolor", loopColour,
			"fontname", font, "fontsize", "9", "margin", "0.06,0.02", "height", "0.2")
	}
	dashed := func(e *edge) { e.set("style", "dashed", "color", loopColour) }
	value := fmt.Sprintf("%s.%d", op.from.name, op.out)
	if out := value + " to the next layer"; !d.handed[out] {
		d.handed[out] = true
		below := box(out, "to the next layer")
		dashed(d.lead(d.edge(d.box(op.from, op.from.outs[op.out]), below, op.text), op.from, nil))
	}
	above := box(value+" of the layer before, for "+u.name, inLayer(op.from.name, op.from.layer)+" of the layer before")
	dashed(d.lead(d.edge(above, d.box(u, op.box), op.text), nil, u))
}

// lead ends an edge of a plan at the borders of the dispatches that it joins.
func (d *drawing) lead(e *edge, from, to *unit) *edge {
	if !d.waves || from == to {
		return e
	}
	if c := d.clusters[from]; c != "" {
		e.set("ltail", c)
	}
	if c := d.clusters[to]; c != "" {
		e.set("lhead", c)
	}
	return e
}

func (d *drawing) edge(from, to *node, text string) *edge {
	return d.g.edge(from, to, "label", text, "fontname", font, "fontsize", "8", "fontcolor", faded, "color", edgeColour, "arrowsize", "0.7")
}

// param returns the node of a param; weights and constants have one only where
// they were asked for.
func (d *drawing) param(p *param) (*node, bool) {
	if (p.kind == ir.Weight || p.kind == ir.Const) && !d.o.Weights {
		return nil, false
	}
	if n, ok := d.params[p.name]; ok {
		return n, true
	}
	l := paramLooks[p.kind]
	text := lines{align: "CENTER"}
	text.add(10, ink, html.EscapeString(strings.TrimPrefix(p.name, "model.")))
	text.small(p.text)
	n := d.in.node(p.name, "label", text.html(), "shape", l.shape, "style", "filled", "fillcolor", l.fill, "color", l.border,
		"fontname", font, "fontsize", "10", "fontcolor", ink, "margin", "0.06,0.03", "height", "0.25")
	d.params[p.name] = n
	return n, true
}

// stub returns the node that stands for a value of a neighbour.
func (d *drawing) stub(direction, name string, out int) *node {
	key := fmt.Sprintf("%s %s.%d", direction, name, out)
	if n := d.stubs[key]; n != nil {
		return n
	}
	n := d.in.node(key, "label", direction+" "+name, "shape", "box", "style", "dashed,rounded", "color", stubColour, "fontcolor", faded,
		"fontname", font, "fontsize", "10", "margin", "0.08,0.03", "height", "0.25")
	d.stubs[key] = n
	return n
}

func (d *drawing) result(r result) {
	var n *node
	switch {
	case r.from.par != nil && r.from.from == nil:
		from, ok := d.param(r.from.par)
		if !ok {
			return
		}
		n = d.returned(r.name)
		d.edge(from, n, r.from.text)
		return
	case r.stub:
		n = d.stub("to", r.name, 0)
	default:
		n = d.returned(r.name)
	}
	u := r.from.from
	e := d.lead(d.edge(d.box(u, u.outs[r.from.out]), n, r.from.text), u, nil)
	if r.stub {
		e.set("style", "dashed", "color", stubColour)
	}
}

func (d *drawing) returned(name string) *node {
	return d.in.node("return "+name, "label", markup("return <B>"+html.EscapeString(name)+"</B>"), "shape", "oval", "style", "bold", "color", resultLine,
		"fontname", font, "fontsize", "10", "fontcolor", ink, "margin", "0.04,0.02", "height", "0.25")
}

// barriers says between each two waves that a barrier stands there, and holds the waves
// apart by invisible edges to and from it: Graphviz keeps no nodes of different clusters on
// one rank. Nor has it lines across a picture: across.go draws them where this stands.
func (d *drawing) barriers(units []*unit) {
	byWave := map[int][]*unit{}
	var waves []int
	for _, u := range units {
		if byWave[u.wave] == nil {
			waves = append(waves, u.wave)
		}
		byWave[u.wave] = append(byWave[u.wave], u)
	}
	slices.Sort(waves)
	for i := 1; i < len(waves); i++ {
		above, below := byWave[waves[i-1]], byWave[waves[i]]
		home := d.in
		if d.home(above[0]) == d.home(below[0]) {
			home = d.home(above[0])
		}
		bar := home.node("barrier before "+below[0].name, "label", fmt.Sprintf("barrier: wave %d | wave %d", waves[i-1], waves[i]),
			"class", d.o.barrierClass(), "shape", "plaintext", "fontname", font, "fontsize", "8", "fontcolor", barColour, "margin", "0", "height", "0.15")
		for _, u := range above {
			for _, n := range d.outermost(u, func(w wire) int { return w.from }) {
				d.g.edge(n, bar, "style", "invis", "weight", "0")
			}
		}
		for _, u := range below {
			for _, n := range d.outermost(u, func(w wire) int { return w.to }) {
				d.g.edge(bar, n, "style", "invis", "weight", "0")
			}
		}
	}
}

// outermost returns the boxes of u at which no wire has the given end: with the
// wire's source those that stand lowest, with its target those that stand
// highest.
func (d *drawing) outermost(u *unit, end func(wire) int) []*node {
	nodes := d.nodes[u]
	if len(nodes) == 1 {
		return nodes
	}
	inner := map[int]bool{}
	for _, w := range u.wires {
		inner[end(w)] = true
	}
	var out []*node
	for i, n := range nodes {
		if !inner[i] {
			out = append(out, n)
		}
	}
	return out
}
