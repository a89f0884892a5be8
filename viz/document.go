package viz

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/emicklei/dot"
)

// document is DOT text in the making. Names of nodes and clusters are what they stand for,
// never numbers in order: two pictures differ in the lines of what differs in them.
type document struct {
	cluster
	taken map[string]bool
	edges []*edge
}

// cluster is the document or a cluster in it.
type cluster struct {
	in       *document
	name     string
	attrs    attributes
	nodes    []*node
	clusters []*cluster
}

type node struct {
	name string
	attributes
}

type edge struct {
	from, to *node
	attributes
}

// attributes are what is said of a part; the last value of a name counts.
type attributes map[string]string

// markup is a label in Graphviz's markup.
type markup string

func newDocument() *document {
	d := &document{taken: map[string]bool{}}
	d.cluster = cluster{in: d, attrs: attributes{}}
	return d
}

// set takes names and values by turns.
func (a attributes) set(pairs ...any) {
	for i := 0; i < len(pairs); i += 2 {
		value := strconv.Quote(fmt.Sprint(pairs[i+1]))
		switch v := pairs[i+1].(type) {
		case markup:
			value = "<" + strings.ReplaceAll(string(v), "\n", " ") + ">"
		case string: // Graphviz knows no escapes but those of quotes and of its own
			value = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(v) + `"`
		}
		a[pairs[i].(string)] = value
	}
}

// unique is the name, with a number where it is taken.
func (d *document) unique(name string) string {
	own := name
	for n := 2; d.taken[own]; n++ {
		own = fmt.Sprintf("%s #%d", name, n)
	}
	d.taken[own] = true
	return own
}

func (c *cluster) node(name string, pairs ...any) *node {
	n := &node{c.in.unique(name), attributes{}}
	n.set(pairs...)
	c.nodes = append(c.nodes, n)
	return n
}

func (c *cluster) cluster(name string, pairs ...any) *cluster {
	inner := &cluster{in: c.in, name: c.in.unique("cluster " + name), attrs: attributes{}}
	inner.attrs.set(pairs...)
	c.clusters = append(c.clusters, inner)
	return inner
}

func (d *document) edge(from, to *node, pairs ...any) *edge {
	e := &edge{from, to, attributes{}}
	e.set(pairs...)
	d.edges = append(d.edges, e)
	return e
}

// String is the DOT text: parts in the order in which they were made, attributes by name.
// The library writes it, and numbers nodes and clusters as they come; names take the
// numbers' places.
func (d *document) String() string {
	w := writing{nodes: map[*node]dot.Node{}}
	g := dot.NewGraph(dot.Directed)
	w.cluster(g, &d.cluster)
	for _, e := range d.edges {
		e.write(g.Edge(w.nodes[e.from], w.nodes[e.to]).AttributesMap)
	}
	return w.named(g.String())
}

// writing is a document on its way into the library's graph.
type writing struct {
	nodes map[*node]dot.Node
	names []string // names by the number that the library gives, less one
}

// next is the id of what is made next: the library writes parts in the order of their ids.
func (w *writing) next(name string) string {
	w.names = append(w.names, name)
	return fmt.Sprintf("%09d", len(w.names))
}

func (w *writing) cluster(g *dot.Graph, c *cluster) {
	c.attrs.write(g.AttributesMap)
	for _, n := range c.nodes {
		made := g.Node(w.next(n.name))
		n.write(made.AttributesMap)
		w.nodes[n] = made
	}
	for _, inner := range c.clusters {
		w.cluster(g.Subgraph(w.next(inner.name), dot.ClusterOption{}), inner)
	}
}

// write sets a's values, which are quoted already, in place of those of the library.
func (a attributes) write(to dot.AttributesMap) {
	to.Delete("label")
	for name, value := range a {
		to.Attr(name, dot.Literal(value))
	}
}

// numbered is where the library writes numbers: at the beginning of a line, since no
// value holds a line break.
var numbered = regexp.MustCompile(`(?m)^(\t*)(subgraph cluster_s|n)(\d+)(->n)?(\d+)?( \{|\[|;)`)

// named is the text with names for numbers.
func (w *writing) named(text string) string {
	name := func(number string) string {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > len(w.names) {
			panic("viz: the library wrote a node that nobody made: " + number)
		}
		return strconv.Quote(w.names[n-1])
	}
	return numbered.ReplaceAllStringFunc(text, func(line string) string {
		m := numbered.FindStringSubmatch(line)
		indent, what, arrow, end := m[1], "", "", m[6]
		if m[2] != "n" {
			what = "subgraph "
		}
		if m[4] != "" {
			arrow = " -> " + name(m[5])
		}
		if end == "[" {
			end = " ["
		}
		return indent + what + name(m[3]) + arrow + end
	})
}
