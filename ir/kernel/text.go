package kernel

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Pin says in words of a kernel's text which kernels a node may get: "tiles", or
// "tiles 64x64x16 stages=2 copied". The empty pin leaves the choice open.
type Pin string

// Takes reports whether all words of the pin stand in k's text.
func (p Pin) Takes(k Kernel) bool {
	words := strings.Fields(k.String())
	return !slices.ContainsFunc(strings.Fields(string(p)), func(w string) bool { return !slices.Contains(words, w) })
}

// SameMain reports whether two kernels have one main: they are of one type, and of attention
// row by row both or none are in parts.
func SameMain(a, b Kernel) bool {
	x, rows := a.(AttentionRows)
	y, _ := b.(AttentionRows)
	return reflect.TypeOf(a) == reflect.TypeOf(b) && (!rows || (x.Parts > 0) == (y.Parts > 0))
}

// AllLoads is Loads of a lane that has all of its chunks on their way at once.
const AllLoads = 1 << 16

// String is such as "rows per-team=4 teams=1 share=2 simdgroups=8 vectors=1 width=8
// loads=32 held=32 segment=896 direct".
func (r ProductRows) String() string {
	loads, width := fmt.Sprint(r.Loads), fmt.Sprint(r.Width)
	if r.Loads == AllLoads {
		loads = "all"
	}
	if r.Width == 0 {
		width = "own"
	}
	text := fmt.Sprintf("rows per-team=%d teams=%d share=%d simdgroups=%d vectors=%d width=%s loads=%s held=%d segment=%d",
		r.PerTeam, r.Teams, r.Share, r.Simdgroups, r.Vectors, width, loads, r.Held, r.Segment)
	return text + word(r.Direct, " direct", " staged") + word(r.Chunked, " chunked", "")
}

// String is such as "tiles 64x64x16 simdgroups=2x4 stages=2 ahead=1 copied".
func (t ProductTiles) String() string { return "tiles " + t.numbers() }

func (t ProductTiles) numbers() string {
	return fmt.Sprintf("%dx%dx%d simdgroups=%dx%d stages=%d ahead=%d", t.Rows, t.Columns, t.Depth, t.SIMDRows, t.SIMDColumns, t.Stages, t.Ahead) +
		word(t.Copied, " copied", " narrowed") + word(t.Expanded, " expanded", "")
}

// OnePass is the word of kernels of attention that see all keys in one dispatch, and
// AttentionInParts the first word of the others.
const (
	OnePass          = "one-pass"
	AttentionInParts = "attention-parts"
)

// String is such as "attention-rows one-pass width=4 lanes=8 simdgroups=4 ahead=4 early=8",
// or "attention-parts parts=16 width=4 ..." where the keys are cut.
func (a AttentionRows) String() string {
	text := fmt.Sprintf("width=%d lanes=%d simdgroups=%d ahead=%d early=%d", a.Width, a.Lanes, a.Simdgroups, a.Ahead, a.Early)
	if a.Parts > 0 {
		return fmt.Sprintf("%s parts=%d %s", AttentionInParts, a.Parts, text)
	}
	return fmt.Sprintf("attention-rows %s %s", OnePass, text)
}

// String is such as "attention-tiles 64x32 one-pass": queries by keys.
func (a AttentionTiles) String() string {
	return fmt.Sprintf("attention-tiles %dx%d %s", a.Queries(), a.Keys, OnePass)
}

// String is such as "batched-elements width=4".
func (b BatchedElements) String() string { return fmt.Sprintf("batched-elements width=%d", b.Width) }

// String is "batched-columns".
func (BatchedColumns) String() string { return "batched-columns" }

// String is such as "elements width=4".
func (e Elements) String() string { return fmt.Sprintf("elements width=%d", e.Width) }

// String is such as "positions width=4".
func (p Positions) String() string { return fmt.Sprintf("positions width=%d", p.Width) }

// String is such as "heads simdgroups=16".
func (h Heads) String() string { return fmt.Sprintf("heads simdgroups=%d", h.Simdgroups) }

// String is such as "row-norm width=4".
func (n RowNorm) String() string { return fmt.Sprintf("row-norm width=%d", n.Width) }

// String is such as "argmax-parts parts=38".
func (a ArgmaxParts) String() string { return fmt.Sprintf("argmax-parts parts=%d", a.Parts()) }

// String is such as "argmax-merge parts=38".
func (m ArgmaxMerge) String() string { return fmt.Sprintf("argmax-merge parts=%d", m.Parts) }

func word(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}
