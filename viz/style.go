package viz

import (
	"foundry/ir"
)

// look is how a kind of box is coloured.
type look struct {
	name   string
	fill   string
	border string
	style  string
}

// looks gives each kind of operation its colour: the first row whose traits the
// operation has. The last row takes the rest.
var looks = []struct {
	traits ir.Trait
	look
}{
	{ir.WritesState, look{"cache write", "#f9d5d8", "#b4505c", "filled,rounded"}},
	{ir.View, look{"view", "#ffffff", "#9a9a9a", "filled,rounded,dashed"}},
	{ir.Contraction, look{"matrix product", "#cfe2f8", "#3f74b5", "filled,rounded"}},
	{ir.RowReduce, look{"row reduction", "#fde6bf", "#bd8a2b", "filled,rounded"}},
	{ir.Elementwise, look{"elementwise", "#d7edd1", "#579a4c", "filled,rounded"}},
	{0, look{"gather and layout", "#e6dcf3", "#7f62ab", "filled,rounded"}},
}

func lookOf(op ir.Op) look {
	for _, l := range looks {
		if op.Is(l.traits) {
			return l.look
		}
	}
	return looks[len(looks)-1].look
}

// paramLook is how a param is drawn: dashed edges lead from inputs and states,
// which are large, and thin ones from weights.
type paramLook struct{ shape, fill, border string }

var paramLooks = map[ir.ParamKind]paramLook{
	ir.Input:  {"oval", "#ffffff", "#333333"},
	ir.Weight: {"box", "#f3f3f3", "#b0b0b0"},
	ir.State:  {"cylinder", "#fbeceb", "#b4505c"},
	ir.Const:  {"box", "#f3f3f3", "#b0b0b0"},
}

// The colours of everything that is not an operation.
const (
	font        = "Helvetica"
	ink         = "#222222"
	faded       = "#6b6b6b"
	edgeColour  = "#5f6b7a"
	wireColour  = "#a8a8a8"
	loopColour  = "#3f74b5"
	barColour   = "#c0392b"
	regionFill  = "#f7f9fc"
	regionLine  = "#8fa3bf"
	layerLine   = "#c9c9c9"
	stubColour  = "#8c8c8c"
	resultLine  = "#333333"
	onlyColour  = "#c05a00"
	onlyFill    = "#fff3e4"
	compactFrom = 60 // boxes: a collapsed picture above this draws a region as one box
)
