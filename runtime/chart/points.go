package chart

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"foundry/runtime/bench"
	"foundry/runtime/eval"
)

// point is one with a name beside it.
type point struct {
	x, y      float64
	low, high float64 // error bar of x; none where they are equal
	text      string
}

// points is a plot.Plotter of them; a name moves up where another stands already.
type points struct {
	list []point
	kind string
}

func (ps points) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	var taken []vg.Rectangle
	sorted := slices.Clone(ps.list)
	slices.SortFunc(sorted, func(a, b point) int {
		if a.y != b.y {
			return int(math.Copysign(1, a.y-b.y))
		}
		return int(math.Copysign(1, a.x-b.x))
	})
	for _, q := range sorted { // no name stands on another's point
		at := vg.Point{X: x(q.x), Y: y(q.y)}
		taken = append(taken, vg.Rectangle{Min: vg.Point{X: at.X - 3, Y: at.Y - 3}, Max: vg.Point{X: at.X + 3, Y: at.Y + 3}})
	}
	for _, q := range sorted {
		at := vg.Point{X: x(q.x), Y: y(q.y)}
		if q.low < q.high {
			whisker(&c, x(q.low), x(q.high), at.Y)
		}
		c.DrawGlyph(draw.GlyphStyle{Color: colourOf(ps.kind), Radius: 3.5, Shape: draw.CircleGlyph{}}, at)
		width := sans(small).Size * 0.52 * vg.Length(len(q.text))
		right := at.X+8+width > c.Max.X
		place := vg.Point{X: at.X + 8, Y: at.Y}
		if right {
			place.X = at.X - 8
		}
		box := func() vg.Rectangle {
			r := vg.Rectangle{Min: vg.Point{X: place.X, Y: place.Y - 5}, Max: vg.Point{X: place.X + width, Y: place.Y + 5}}
			if right {
				r.Min.X, r.Max.X = place.X-width, place.X
			}
			return r
		}
		for slices.ContainsFunc(taken, func(t vg.Rectangle) bool {
			b := box()
			return b.Min.X < t.Max.X && t.Min.X < b.Max.X && b.Min.Y < t.Max.Y && t.Min.Y < b.Max.Y
		}) {
			place.Y += 3
		}
		taken = append(taken, box())
		if place.Y > at.Y+6 { // it says which point it names
			c.StrokeLine2(draw.LineStyle{Color: colourOf("whole"), Width: 0.4}, at.X, at.Y, place.X-1, place.Y)
		}
		textAt(&c, place, q.text, right)
	}
}

// drawPredicted draws modelled against measured times; on the line both are the same.
func drawPredicted(w io.Writer, format string, rows []bench.Row) error {
	target := targetOf(&rows[0])
	var list []point
	longest, least := 0.0, math.Inf(1)
	for i := range rows {
		us := rows[i].Modelled[target]
		m := rows[i].Measured
		if m == nil || us == 0 {
			return errors.New("predicted against measured is drawn of rows that have both")
		}
		longest, least = max(longest, us, m.Median), min(least, us, m.Median)
		list = append(list, point{x: m.Median, y: us, low: m.Low, high: m.High, text: rows[i].Variant})
	}
	name, scale := unit(longest)
	for i := range list {
		for _, v := range []*float64{&list[i].x, &list[i].y, &list[i].low, &list[i].high} {
			*v /= scale
		}
	}
	p := newPlot(titleOf(rows)+": predicted against measured", fmt.Sprintf("%s %s, %s", name, aTime(&rows[0]), measuredOn(&rows[0])))
	p.Y.Label.Text = name + ", " + modelledFor(target) + ", uncalibrated"
	lo, hi := 0.8*least/scale, 1.3*longest/scale
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = lo, hi, lo, hi
	logarithmic(&p.X)
	logarithmic(&p.Y)
	same, err := plotter.NewLine(plotter.XYs{{X: lo, Y: lo}, {X: hi, Y: hi}})
	if err != nil {
		return err
	}
	same.Color, same.Dashes = colourOf("whole"), []vg.Length{4, 3}
	p.Add(same, points{list, "measured"})
	p.Legend.Add("as predicted", same)
	legendBelow(p)
	return save(w, p, format, 620, 520)
}

// leastKL is where a divergence is drawn that is smaller: f32 sums of another order make
// as much.
const leastKL = 1e-7

// drawQuality draws tokens a second against how far the next token's distribution moves,
// a point a format.
func drawQuality(w io.Writer, format string, rows []bench.Row, quality []eval.Quality) error {
	var list []point
	most, worst, fastest, slowest := 0.0, leastKL, 0.0, math.Inf(1)
	weights := int64(0)
	for _, q := range quality {
		if q.Weights.String() == "f32" {
			weights = q.Bytes / 4
		}
	}
	for i := range rows {
		r := &rows[i]
		at := slices.IndexFunc(quality, func(q eval.Quality) bool { return q.Weights.String() == r.Weights })
		if at < 0 || r.Measured == nil {
			continue
		}
		q := quality[at]
		text := r.Weights
		if weights > 0 {
			text = fmt.Sprintf("%s, %.3g bits", r.Weights, 8*float64(q.Bytes)/float64(weights))
		}
		scale := *r.TokS * r.Measured.Median // tokens, of which us are a second's
		pt := point{x: *r.TokS, y: max(leastKL, q.KL), low: scale / r.Measured.High, high: scale / r.Measured.Low, text: text}
		list = append(list, pt)
		most, worst = max(most, q.KL), max(worst, pt.y)
		fastest, slowest = max(fastest, pt.high), min(slowest, pt.low)
	}
	if len(list) == 0 {
		return errors.New("no row was measured with weights whose quality is there too")
	}
	p := newPlot(rows[0].Model+": speed against quality", "tokens a second, "+rows[0].Phase+", "+measuredOn(&rows[0]))
	p.Y.Label.Text = "KL from f32, nats"
	p.Y.Min, p.Y.Max = 0.5*leastKL, 4*worst
	logarithmic(&p.Y)
	room := 0.25*(fastest-slowest) + 0.05*fastest
	p.X.Min, p.X.Max = max(0, slowest-room), fastest+room
	p.Add(points{list, "measured"})
	return save(w, p, format, 620, 460)
}

// logarithmic makes an axis so.
func logarithmic(a *plot.Axis) {
	a.Scale, a.Tick.Marker = plot.LogScale{}, logTicks{}
}

// logTicks are one, two and five of each power of ten; of many powers, one of each.
type logTicks struct{}

func (logTicks) Ticks(low, high float64) []plot.Tick {
	var out []plot.Tick
	first, last := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	for e := first; e <= last; e++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, e)
			if v < low || v > high {
				continue
			}
			label := fmt.Sprintf("%g", v)
			if last-first > 3 && m != 1 {
				label = ""
			}
			out = append(out, plot.Tick{Value: v, Label: label})
		}
	}
	return out
}

// legendBelow puts the legend below the picture's axis.
func legendBelow(p *plot.Plot) {
	p.Legend.Top, p.Legend.Left, p.Legend.XOffs = false, false, -4
	p.Legend.YOffs, p.Legend.Padding, p.Legend.ThumbnailWidth = 6, 3, 14
}
