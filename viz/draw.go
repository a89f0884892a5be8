package viz

import (
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"

	"github.com/emicklei/dot"

	"foundry/ir"
)

// draw gives the scene its look. Ids carry their number with leading zeros:
// nodes and clusters are written in the order of their ids, which is the scene's.
func draw(s *scene, o Options) *dot.Graph {
	d := drawing{
		g: dot.NewGraph(dot.Directed), o: o,
		nodes: map[*unit][]dot.Node{}, params: map[string]dot.Node{}, clusters: map[*unit]string{}, layers: map[int]*dot.Graph{}, handed: map[string]bool{},
		waves: s.waves, compact: o.Collapse && s.boxCount() > compactFrom,
	}
	d.page(s)
	for i, u := range s.units {
		d.unit(i, u)
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
	for i, r := range s.returns {
		d.result(i, r)
	}
	if s.waves {
		d.barriers(s.units)
	}
	return d.g
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
	g        *dot.Graph
	o        Options
	nodes    map[*unit][]dot.Node // a unit's boxes; one for all where the unit is compact
	params   map[string]dot.Node
	clusters map[*unit]string
	layers   map[int]*dot.Graph
	handed   map[string]bool // values that have their box below
	waves    bool
	compact  bool
}

func (d *drawing) page(s *scene) {
	d.g.Attrs(
		"fontname", font, "fontsize", "14", "fontcolor", ink, "labelloc", "t", "labeljust", "l",
		"rankdir", "TB", "nodesep", "0.25", "ranksep", "0.35", "compound", "true", "newrank", "true",
		"splines", "true", "bgcolor", "#ffffff", "pad", "0.2",
		"label", dot.HTML(legend(s)),
	)
}

// legend is the title with the colours that the picture uses.
func legend(s *scene) string {
	used := map[string]bool{}
	for _, u := range s.units {
		for _, b := range u.boxes {
			used[lookOf(b.op).name] = true
		}
	}
	var chips strings.Builder
	for _, l := range looks {
		if used[l.name] {
			fmt.Fprintf(&chips, `<TD BGCOLOR="%s" BORDER="1" COLOR="%s"><FONT POINT-SIZE="9"> %s </FONT></TD>`, l.fill, l.border, l.name)
		}
	}
	text := `<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="4" CELLPADDING="2">`
	text += fmt.Sprintf(`<TR><TD COLSPAN="%d" ALIGN="LEFT"><FONT POINT-SIZE="16"><B>%s</B></FONT></TD></TR>`, len(looks), html.EscapeString(s.title))
	text += fmt.Sprintf(`<TR><TD COLSPAN="%d" ALIGN="LEFT"><FONT POINT-SIZE="10" COLOR="%s">%s</FONT></TD></TR>`, len(looks), faded, html.EscapeString(s.facts))
	if chips.Len() > 0 {
		text += "<TR>" + chips.String() + "</TR>"
	}
	return text + "</TABLE>"
}

// home returns the cluster of the unit's layer, or the page.
func (d *drawing) home(u *unit) *dot.Graph {
	if u.layer < 0 {
		return d.g
	}
	if c := d.layers[u.layer]; c != nil {
		return c
	}
	title := fmt.Sprintf("layer %d", u.layer)
	if u.run != nil {
		title = fmt.Sprintf("layers %d..%d × %d", u.run.first, u.run.last, u.run.count())
	}
	c := d.g.Subgraph(fmt.Sprintf("layer%06d", u.layer), dot.ClusterOption{})
	colour, line := faded, layerLine
	if u.run != nil {
		colour, line = loopColour, loopColour
		c.Attr("penwidth", "2")
	}
	head := lines{align: "LEFT"}
	head.add(13, colour, "<B>"+html.EscapeString(title)+"</B>")
	c.Attrs("label", head.html(), "fontname", font, "labeljust", "l", "style", "rounded", "color", line, "bgcolor", "#fdfdfd", "margin", "14")
	d.layers[u.layer] = c
	return c
}

func (d *drawing) unit(i int, u *unit) {
	id := fmt.Sprintf("u%06d", i)
	home := d.home(u)
	if d.compact && u.fused {
		n := home.Node(id)
		n.Attr("label", d.compactText(u))
		if d.o.Ids {
			n.Attr("id", "u-"+u.name)
		}
		n.Attrs("shape", "box", "style", "filled,rounded", "fillcolor", regionFill, "color", regionLine,
			"fontname", font, "fontsize", "11", "fontcolor", ink, "margin", "0.1,0.06")
		d.nodes[u] = []dot.Node{n}
		return
	}
	if u.fused {
		home = home.Subgraph(id, dot.ClusterOption{})
		if d.o.Ids {
			home.Attr("id", "u-"+u.name)
		}
		home.Attrs("label", d.head(u).html(), "fontname", font, "fontsize", "11", "labeljust", "l",
			"style", "filled,rounded", "fillcolor", regionFill, "color", regionLine, "margin", "10")
		d.clusters[u] = home.GetID()
	}
	for j, b := range u.boxes {
		n := home.Node(fmt.Sprintf("%s.%03d", id, j))
		l := lookOf(b.op)
		n.Attr("label", d.boxText(u, b))
		if d.o.Ids && !u.fused {
			n.Attr("id", "u-"+u.name)
		}
		n.Attrs("shape", "box", "style", l.style, "fillcolor", l.fill, "color", l.border,
			"fontname", font, "fontsize", "11", "fontcolor", ink, "margin", "0.1,0.05", "height", "0.3")
		d.nodes[u] = append(d.nodes[u], n)
	}
	for _, w := range u.wires {
		e := d.g.Edge(d.nodes[u][w.from], d.nodes[u][w.to])
		if w.ordering {
			e.Attr("style", "invis")
			continue
		}
		e.Attr("color", wireColour).Attr("arrowsize", "0.6")
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

func (l *lines) html() dot.HTML {
	return dot.HTML(`<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">` + strings.Join(l.rows, "") + `</TABLE>`)
}

func (d *drawing) boxText(u *unit, b box) dot.HTML {
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
func (d *drawing) compactText(u *unit) dot.HTML {
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

func (d *drawing) box(u *unit, i int) dot.Node {
	nodes := d.nodes[u]
	return nodes[min(i, len(nodes)-1)]
}

func (d *drawing) operand(u *unit, op operand) {
	to := d.box(u, op.box)
	switch {
	case op.par != nil:
		if n, ok := d.param(op.par); ok {
			d.lead(d.edge(n, to, op.text), nil, u).Attr("color", paramLooks[op.par.kind].border)
		}
	case op.stub:
		n := d.stub("from", op.from.name, op.out)
		d.lead(d.edge(n, to, op.text), nil, u).Attr("style", "dashed").Attr("color", stubColour)
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
	box := func(id, text string) dot.Node {
		n := d.home(u).Node(id)
		n.Attr("label", text)
		n.Attrs("shape", "box", "style", "filled,dashed,rounded", "fillcolor", "#ffffff", "color", loopColour, "fontcolor", loopColour,
			"fontname", font, "fontsize", "9", "margin", "0.06,0.02", "height", "0.2")
		return n
	}
	dashed := func(e dot.Edge) { e.Attr("style", "dashed").Attr("color", loopColour) }
	value := fmt.Sprintf("%s.%d", op.from.name, op.out)
	if out := "x" + value; !d.handed[out] {
		d.handed[out] = true
		below := box(out, "to the next layer")
		dashed(d.lead(d.edge(d.box(op.from, op.from.outs[op.out]), below, op.text), op.from, nil))
	}
	above := box("a"+u.name+" "+value, inLayer(op.from.name, op.from.layer)+" of the layer before")
	dashed(d.lead(d.edge(above, d.box(u, op.box), op.text), nil, u))
}

// lead ends an edge of a plan at the borders of the dispatches that it joins.
func (d *drawing) lead(e dot.Edge, from, to *unit) dot.Edge {
	if !d.waves || from == to {
		return e
	}
	if c := d.clusters[from]; c != "" {
		e.Attr("ltail", c)
	}
	if c := d.clusters[to]; c != "" {
		e.Attr("lhead", c)
	}
	return e
}

func (d *drawing) edge(from, to dot.Node, text string) dot.Edge {
	return d.g.Edge(from, to).Attr("label", text).Attr("fontname", font).Attr("fontsize", "8").
		Attr("fontcolor", faded).Attr("color", edgeColour).Attr("arrowsize", "0.7")
}

// param returns the node of a param; weights and constants have one only where
// they were asked for.
func (d *drawing) param(p *param) (dot.Node, bool) {
	if (p.kind == ir.Weight || p.kind == ir.Const) && !d.o.Weights {
		return dot.Node{}, false
	}
	if n, ok := d.params[p.name]; ok {
		return n, true
	}
	n := d.g.Node("p" + p.name)
	l := paramLooks[p.kind]
	text := lines{align: "CENTER"}
	text.add(10, ink, html.EscapeString(strings.TrimPrefix(p.name, "model.")))
	text.small(p.text)
	n.Attr("label", text.html())
	n.Attrs("shape", l.shape, "style", "filled", "fillcolor", l.fill, "color", l.border,
		"fontname", font, "fontsize", "10", "fontcolor", ink, "margin", "0.06,0.03", "height", "0.25")
	d.params[p.name] = n
	return n, true
}

// stub returns the node that stands for a value of a neighbour.
func (d *drawing) stub(direction, name string, out int) dot.Node {
	n := d.g.Node(fmt.Sprintf("s%s.%s.%d", direction, name, out))
	n.Attr("label", direction+" "+name)
	n.Attrs("shape", "box", "style", "dashed,rounded", "color", stubColour, "fontcolor", faded,
		"fontname", font, "fontsize", "10", "margin", "0.08,0.03", "height", "0.25")
	return n
}

func (d *drawing) result(i int, r result) {
	var n dot.Node
	switch {
	case r.from.par != nil && r.from.from == nil:
		from, ok := d.param(r.from.par)
		if !ok {
			return
		}
		n = d.returned(i, r.name)
		d.edge(from, n, r.from.text)
		return
	case r.stub:
		n = d.stub("to", r.name, 0)
	default:
		n = d.returned(i, r.name)
	}
	u := r.from.from
	e := d.lead(d.edge(d.box(u, u.outs[r.from.out]), n, r.from.text), u, nil)
	if r.stub {
		e.Attr("style", "dashed").Attr("color", stubColour)
	}
}

func (d *drawing) returned(i int, name string) dot.Node {
	n := d.g.Node(fmt.Sprintf("r%06d", i))
	n.Attr("label", dot.HTML("return <B>"+html.EscapeString(name)+"</B>"))
	n.Attrs("shape", "oval", "style", "bold", "color", resultLine, "fontname", font, "fontsize", "10", "fontcolor", ink, "margin", "0.04,0.02", "height", "0.25")
	return n
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
		home := d.g
		if d.home(above[0]) == d.home(below[0]) {
			home = d.home(above[0])
		}
		bar := home.Node(fmt.Sprintf("w%06d", waves[i]))
		bar.Attr("label", fmt.Sprintf("barrier: wave %d | wave %d", waves[i-1], waves[i]))
		bar.Attrs("class", "barrier", "shape", "plaintext", "fontname", font, "fontsize", "8", "fontcolor", barColour, "margin", "0", "height", "0.15")
		for _, u := range above {
			for _, n := range d.outermost(u, func(w wire) int { return w.from }) {
				d.g.Edge(n, bar).Attr("style", "invis").Attr("weight", "0")
			}
		}
		for _, u := range below {
			for _, n := range d.outermost(u, func(w wire) int { return w.to }) {
				d.g.Edge(bar, n).Attr("style", "invis").Attr("weight", "0")
			}
		}
	}
}

// outermost returns the boxes of u at which no wire has the given end: with the
// wire's source those that stand lowest, with its target those that stand
// highest.
func (d *drawing) outermost(u *unit, end func(wire) int) []dot.Node {
	nodes := d.nodes[u]
	if len(nodes) == 1 {
		return nodes
	}
	inner := map[int]bool{}
	for _, w := range u.wires {
		inner[end(w)] = true
	}
	var out []dot.Node
	for i, n := range nodes {
		if !inner[i] {
			out = append(out, n)
		}
	}
	return out
}
