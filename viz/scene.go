package viz

import (
	"fmt"
	"strconv"
	"strings"

	"foundry/ir"
)

// scene is a picture without its look: units in execution order, joined by the
// values that pass between them.
type scene struct {
	title   string
	facts   string // second line: sizes and ranges
	units   []*unit
	returns []result
	waves   bool // ranks of units by their wave, with barriers between
}

// unit is what a picture may not take apart: a node of a graph or a dispatch of
// a plan.
type unit struct {
	name  string // the label: "layers.3.qkv"
	layer int    // the layer's number; -1 outside the layers
	key   string // a text that is equal for units that do the same work
	head  []string
	boxes []box
	wires []wire // edges between its own boxes
	in    []operand
	outs  []int // the boxes that make its results
	wave  int
	only  bool // what it is compared with lacks it
	fused bool // a cluster around its boxes
	run   *run // the equal layers that this one stands for
}

// run is a number of consecutive equal layers of which the first is drawn.
type run struct{ first, last int }

func (r *run) count() int { return r.last - r.first + 1 }

// box is one operation.
type box struct {
	op    ir.Op
	label string
	lines []string
}

// wire joins two boxes of one unit: a value that stays inside it. An ordering
// wire only says which of the two comes first.
type wire struct {
	from, to int
	ordering bool
}

// operand is a value that a unit takes from outside.
type operand struct {
	from *unit  // nil: a param
	out  int    // the number of the result of from
	box  int    // the box that takes it
	text string // type and bytes
	par  *param
	loop bool // the value comes from the layer before, in a run of equal layers
	stub bool // a neighbour of the layer drawn as from, not drawn itself
}

// param is a value that no unit makes.
type param struct {
	kind ir.ParamKind
	name string
	text string
}

// result is a value that the graph or plan hands out.
type result struct {
	name string
	from operand
	stub bool // a use in another layer, not a result
}

// layerRef finds "layers.K." in name: the bytes before K, K and what follows it.
func layerRef(name string) (before string, layer int, after string, ok bool) {
	const prefix = "layers."
	at := strings.Index(name, prefix)
	if at < 0 || at > 0 && name[at-1] != '.' {
		return "", 0, "", false
	}
	digits, _, dotted := strings.Cut(name[at+len(prefix):], ".")
	k, err := strconv.Atoi(digits)
	if err != nil || !dotted {
		return "", 0, "", false
	}
	end := at + len(prefix)
	return name[:end], k, name[end+len(digits):], true
}

// inLayer shortens a name that stands in a layer's frame: "layers.3.q_proj"
// becomes "q_proj" in layer 3. Names of other layers stay whole.
func inLayer(name string, layer int) string {
	if _, k, after, ok := layerRef(name); ok && k == layer {
		return after[1:]
	}
	return name
}

// anyLayer puts N in the place of the layer's number, N+1 in that of the next
// layer's: what equal layers call alike.
func anyLayer(name string, layer int) string {
	before, k, after, ok := layerRef(name)
	switch {
	case !ok || layer < 0:
		return name
	case k == layer:
		return before + "N" + after
	}
	return fmt.Sprintf("%sN%+d%s", before, k-layer, after)
}

// boxCount returns the number of boxes of all units.
func (s *scene) boxCount() int {
	n := 0
	for _, u := range s.units {
		n += len(u.boxes)
	}
	return n
}
