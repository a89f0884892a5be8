package viz

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
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
			value = "<" + string(v) + ">"
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
func (d *document) String() string {
	var b strings.Builder
	b.WriteString("digraph {\n")
	d.cluster.write(&b, "\t")
	for _, e := range d.edges {
		fmt.Fprintf(&b, "\t%s -> %s [%s]\n", strconv.Quote(e.from.name), strconv.Quote(e.to.name), e.text(", "))
	}
	b.WriteString("}\n")
	return b.String()
}

func (c *cluster) write(b *strings.Builder, indent string) {
	fmt.Fprintf(b, "%s%s\n", indent, c.attrs.text("; "))
	for _, inner := range c.clusters {
		fmt.Fprintf(b, "%ssubgraph %s {\n", indent, strconv.Quote(inner.name))
		inner.write(b, indent+"\t")
		fmt.Fprintf(b, "%s}\n", indent)
	}
	for _, n := range c.nodes {
		fmt.Fprintf(b, "%s%s [%s]\n", indent, strconv.Quote(n.name), n.text(", "))
	}
}

func (a attributes) text(between string) string {
	var parts []string
	for name, value := range a {
		parts = append(parts, name+"="+value)
	}
	slices.Sort(parts)
	return strings.Join(parts, between)
}
