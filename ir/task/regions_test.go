package task

import (
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/kernel"
	"foundry/ir/sym"
	"foundry/ir/target"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

// What is found in a region, and why it cannot be a kernel, stands behind # below its nodes
// in testdata/regions.txtar: each refusal there is that has a region which reaches it, and
// beside it one that differs in little and is none. The last line of a region may fuse all
// but the first few nodes: "fuse 2" leaves two as they are, views of operands mostly.
func TestRegions(t *testing.T) {
	const file = "testdata/regions.txtar"
	a, err := txtar.ParseFile(file)
	require.NoError(t, err)
	require.NotEmpty(t, a.Files)
	for i := range a.Files {
		f := &a.Files[i]
		var text strings.Builder
		for line := range strings.Lines(string(f.Data)) {
			if !strings.HasPrefix(line, "#") {
				text.WriteString(line)
			}
		}
		var said strings.Builder
		for line := range strings.Lines(saidOf(t, f.Name, text.String())) {
			said.WriteString("# " + line)
		}
		have := text.String() + said.String()
		if *update {
			f.Data = []byte(have)
			continue
		}
		require.Equal(t, string(f.Data), have, "%s: go test ./ir/task -run Regions -update writes it", f.Name)
	}
	if *update {
		require.NoError(t, os.WriteFile(file, txtar.Format(a), 0o666))
	}
}

// saidOf is what is said of one region, lines.
func saidOf(t *testing.T, name, text string) string {
	t.Helper()
	outside := 0
	if body, fuse, ok := strings.Cut(text, "fuse "); ok {
		_, err := fmt.Sscan(fuse, &outside)
		require.NoError(t, err, name)
		text = body
	}
	g, err := ir.Parse(name, "graph @g (T=1..8, P=0..40, S<=64) {\n"+text+"}")
	require.NoError(t, err, name)
	n := g.Nodes()[len(g.Nodes())-1]
	if len(g.Nodes()) > outside+1 {
		n, err = g.FusedNode(g.Nodes()[outside:], "x", "x")
		require.NoError(t, err, name)
	}
	x, err := target.Find("h200")
	require.NoError(t, err)
	r, err := In(n, g.Bounds, x)
	if err != nil {
		return err.Error() + "\n"
	}
	s := &sayer{r: r}
	for i, o := range r.Operands {
		if l, _ := Contiguous(r.Graph.Params[i].Type.Shape); l != o.Layout || o.Fixed || o.Settled || o.Planes {
			s.say("operand %d: at %s, strides %v, fixed=%t settled=%t planes=%t", i, polyText(o.Layout.Off), strides(o.Layout, r.Graph.Params[i].Type.Shape), o.Fixed, o.Settled, o.Planes)
		}
	}
	s.elements()
	switch {
	case r.Has(ir.OpMatmulNT):
		s.product()
	case r.Has(ir.OpBmmNT) && r.Has(ir.OpBmmNN):
		s.attention()
	case r.Has(ir.OpBmmNT, ir.OpBmmNN):
		s.batched()
	}
	s.others()
	return s.String()
}

func strides(l Layout, s ir.Shape) (out []string) {
	for _, p := range l.Stride[:s.Rank] {
		out = append(out, polyText(p))
	}
	return out
}

type sayer struct {
	strings.Builder
	r *Region
}

func (s *sayer) say(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

// asked says how an ask ended.
func (s *sayer) asked(what string, err error) {
	if err != nil {
		s.say("%s: no, %v", what, err)
		return
	}
	s.say("%s: yes", what)
}

// runs says what is made in runs where sums of squares of them are results.
func (s *sayer) runs() {
	sums := false
	for _, res := range s.r.Graph.Results {
		sums = sums || res.Value.Def != nil && res.Value.Def.Op == ir.OpSumSquares
	}
	if !sums {
		return
	}
	p := RunsElements(s.r)
	s.say("runs of %s beside %v", p.Space, p.Results)
	for _, size := range []int{6, 8} {
		s.asked(fmt.Sprintf("in runs of %d", size), s.r.FitsRuns(kernel.Runs{Size: size}))
	}
}

func (s *sayer) elements() {
	r := s.r
	if r.Has(ir.OpMatmulNT, ir.OpBmmNT, ir.OpBmmNN, ir.OpSoftmax, ir.OpArgmax, ir.OpSample) {
		return
	}
	parts := ElementsOf(r)
	for _, p := range parts {
		for _, width := range []int{1, 4} {
			if g, err := p.Grid(width); err != nil {
				s.say("%s %v, %d at a time: %v", p.Space, p.Results, width, err)
			} else {
				s.say("%s %v, %d at a time: pairs=%t units %s columns %s rows %s outer %d", p.Space, p.Results, width, p.Pair, g.Units, g.Columns, g.Rows, g.Outer)
			}
		}
	}
	s.asked("one at a time", r.FitsElements(1))
	s.asked("four at a time", r.FitsElements(4))
	s.runs()
	if r.Has(ir.OpRope) {
		at := AtOnePosition(r, parts)
		s.say("at one position: %t", at)
		if at {
			s.asked("position, one pair at a time", r.FitsPositions(1))
			s.asked("position, four pairs at a time", r.FitsPositions(4))
		}
	}
	switch {
	case r.Has(ir.OpRMSNorm) && r.Has(ir.OpRope):
		s.asked("heads", r.FitsHeads())
	case r.Has(ir.OpRMSNorm, ir.OpRMSScale):
		s.asked("rows, one at a time", r.FitsRows(1))
		s.asked("rows, four at a time", r.FitsRows(4))
	}
}

// staging says how weights come to three kinds of blocks.
func (s *sayer) staging(p *Product) {
	if !p.TakesTiles() {
		return
	}
	for _, k := range []kernel.ProductTiles{
		{Rows: 64, Columns: 64, Depth: 32, Stages: 2, Ahead: 1, SIMDRows: 2, SIMDColumns: 2},
		{Rows: 64, Columns: 32, Depth: 64, Stages: 2, Ahead: 1, SIMDRows: 2, SIMDColumns: 2, Copied: true, Expanded: true},
		{Rows: 64, Columns: 16, Depth: 32, Stages: 1, SIMDRows: 2, SIMDColumns: 2}, // fewer weights than any chunk for each thread
	} {
		said := map[dtype.Type]bool{}
		p.Weights(func(w *ir.Value) {
			if t := p.Region.Lies(w); !said[t] {
				said[t] = true
				b := Staging{Product: p, Tiles: k}
				s.say("%s: %s by chunks of %d, %d a thread, copied=%t, a factor each=%t", k, t, b.Chunk(t), b.Chunks(t), b.Copies(t), b.FactorEach(t))
			}
		})
	}
}

func (s *sayer) product() {
	r := s.r
	p, err := ProductOf(r)
	if err != nil {
		s.say("product: no, %v", err)
		if len(r.Graph.Nodes()) == 1 {
			s.asked("of two activations, one at a time", r.FitsDots(1))
			s.asked("of two activations, four at a time", r.FitsDots(4))
		}
		return
	}
	rows, unit := p.WeightRows()
	format, same := p.SameFormat()
	s.say("product of %s rows of %d by %d rows, %d together: inner %s normed=%t merges=%t extra %v run %d whole %d", p.Tokens, p.Length, rows, unit, p.Inner.Type, p.Norm != nil, p.Merges, p.Extra, p.Run(), p.Whole())
	s.say("direct=%t halves=%t tiles=%t fixed=%t format %s same=%t", p.ReadsDirectly(), p.HalfRows(), p.TakesTiles(), p.FixedWeights(), format, same)
	for _, part := range p.Parts {
		s.say("part of %d products of %d rows: results %v sums %v best %v heads %d of %d pairs=%t normed=%t, %d units of %d", len(part.Products), part.Each, part.Results, part.Sums, part.Best, part.Heads, part.HeadDim(), part.Pair, part.HeadNorm != nil, part.Units(), part.RowsPerUnit())
		w, err := p.StoreWidth(part)
		s.asked(fmt.Sprintf("stored by %d", w), err)
	}
	expansions, can := p.Expansions()
	for _, e := range expansions {
		s.say("expansion of %d weights in planes=%t by chunks of %d", len(e.Weights), e.Format.Planes, e.Chunk())
	}
	s.say("expanded once: %t", can)
	w, err := p.StageWidth(0, p.Length)
	s.asked(fmt.Sprintf("staged by %d", w), err)
	for _, copied := range []bool{false, true} {
		w, err := p.TilesWidth(kernel.ProductTiles{Copied: copied})
		s.asked(fmt.Sprintf("tiles copied=%t by %d", copied, w), err)
	}
	s.staging(p)
	for _, k := range []kernel.ProductRows{
		{PerTeam: 4, Teams: 1, Share: 1, Simdgroups: 4, Vectors: 1, Loads: 32, Held: 32, Segment: p.Length, Direct: true},
		{PerTeam: 4, Teams: 2, Share: 2, Simdgroups: 8, Vectors: 1, Width: 32, Loads: 40, Held: 20, Segment: p.Length, Direct: true, Chunked: true},
		{PerTeam: 1, Teams: 1, Share: 1, Simdgroups: 2, Vectors: 1, Width: 8, Loads: 40, Held: 8, Segment: p.Length, Direct: true},
		{PerTeam: 2, Teams: 1, Share: 4, Simdgroups: 8, Vectors: 4, Width: 8, Loads: 16, Held: 64, Segment: min(p.Length, 2048)},
	} {
		s.asked(k.String(), p.FitsRows(k))
		rounds := Rounds{Product: p, Rows: k, Room: 32 << 10}
		if rounds.Sliced() {
			s.say("  slices of %d bytes, the first from %d bytes on, the second from %d", rounds.SliceBytes(), roomOf(rounds, 1), roomOf(rounds, 2))
		}
		s.say("  sliced=%t preloaded %d ahead %d or %d, %d bytes", rounds.Sliced(), rounds.Preloaded(), rounds.Ahead(format, k.Segment, 0), rounds.Ahead(format, k.Segment, rounds.Preloaded()), rounds.Bytes())
		if p.Norm != nil {
			s.say("  of the norm's weights %d held one at a time, %d by four", rounds.GammasHeld(1), rounds.GammasHeld(4))
		}
	}
	if p.Inner.Param != nil && p.Inner.Type.Shape.Rank == 2 {
		r.Operands[p.Inner.Index].Halves = true
		s.say("kept as halves: direct=%t halves=%t", p.ReadsDirectly(), p.HalfRows())
		r.Operands[p.Inner.Index].Halves = false
	}
	r.Unbounded = func(*ir.Value) bool { return true }
	s.say("without bounds: tiles=%t", p.TakesTiles())
	r.Unbounded = nil
}

// roomOf is the least threadgroup memory in which so many rounds of slices have room.
func roomOf(r Rounds, rounds int) int {
	return sort.Search(1<<20, func(room int) bool {
		r.Room = room
		return r.sliceRounds() >= rounds
	})
}

func (s *sayer) attention() {
	a, err := AttentionOf(s.r)
	if err != nil {
		s.say("attention: no, %v", err)
		return
	}
	s.say("attention of %d heads of %d: %s rows, %s keys, window %d, caches %t %t, tiles=%t", a.Heads, a.Dim, a.Rows, a.Keys, a.Window(), a.Cache(a.Scores.Args[1]) != nil, a.Cache(a.Weighted.Args[1]) != nil, a.TakesTiles())
	for _, k := range []kernel.AttentionRows{{Width: 4, Lanes: 8}, {Width: 4, Lanes: int(a.Dim / 4)}, {Width: 1, Lanes: 1}} {
		s.asked(k.String(), a.FitsRows(k))
	}
	s.asked(kernel.AttentionTiles{}.String(), a.FitsTiles())
	if l, err := a.ResultLayout(); err == nil {
		s.say("result: strides %v", strides(l, a.Weighted.Results[0].Type.Shape))
	}
	s.unbounded(a.FitsTiles)
}

func (s *sayer) batched() {
	b, ok := BatchedOf(s.r)
	if b != nil {
		s.say("batched product of %d heads of %d: %s rows, %s keys, tiles=%t, known=%t", b.Heads, b.Dim, b.Rows, b.Keys, b.TakesTiles(), ok)
	}
	for _, k := range []kernel.BatchedElements{{Width: 1}, {Width: 4}} {
		s.asked(k.String(), s.r.FitsDots(k.Width))
	}
	if s.r.Has(ir.OpBmmNN) {
		s.asked("columns", s.r.FitsColumns())
	}
	if ok {
		s.asked("tiles", s.r.FitsBatchedTiles())
		s.unbounded(s.r.FitsBatchedTiles)
	}
}

func (s *sayer) unbounded(fits func() error) {
	s.r.Unbounded = func(*ir.Value) bool { return true }
	s.asked("without bounds", fits())
	s.r.Unbounded = nil
}

func (s *sayer) others() {
	r := s.r
	switch {
	case r.Has(ir.OpSoftmax) && !r.Has(ir.OpBmmNT, ir.OpBmmNN):
		s.asked("softmax", r.FitsSoftmax(0))
		s.asked("softmax in segments", r.FitsSoftmax(8))
		if n := r.Graph.Nodes()[0]; n.Op == ir.OpSoftmax {
			w := r.walk(1)
			ix, groups := w.RowOf(n.Results[0].Type.Shape)
			if row, err := w.SoftmaxRow(n, ix, 8); err == nil && w.Err == nil {
				s.say("row %s of %v at %s, from %s of operand %d, segments at %s", indexText(row.Row), groups, indexText(row.At), indexText(row.From), row.Param, indexText(row.Between))
			}
		}
	case r.Has(ir.OpArgmax) && !r.Has(ir.OpMatmulNT):
		s.asked("argmax", r.FitsArgmax())
	case r.Has(ir.OpSample):
		s.asked("sample", r.FitsSample())
	case r.Has(ir.OpArange, ir.OpOnes, ir.OpRandomUniform):
		s.asked("created", r.FitsCreate())
	}
	for i, n := range r.Graph.Nodes() {
		if n.Op.Is(ir.View) {
			s.say("node %d is a view: %t", i, IsView(n))
		}
	}
	for i, res := range r.Graph.Results {
		if end, ok := end(res.Value.Type.Shape, r.Graph.Bounds); ok {
			s.say("result %d: %s walked, up to %d elements", i, Walked(res.Value), end)
		}
	}
}

func end(shape ir.Shape, b sym.Bounds) (int64, bool) {
	l, ok := Contiguous(shape)
	if !ok {
		return 0, false
	}
	return l.End(shape, b)
}
