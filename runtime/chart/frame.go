package chart

import (
	"image/color"
	"io"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Colours say what kind a number is of, in every picture the same.
func colourOf(kind string) color.Color {
	switch kind {
	case "modelled":
		return color.RGBA{0x7d, 0xa7, 0xd9, 0xff}
	case "measured":
		return color.RGBA{0xe0, 0x8a, 0x3c, 0xff}
	case "saves":
		return color.RGBA{0x3f, 0x9b, 0x5f, 0xff}
	case "costs":
		return color.RGBA{0xc8, 0x44, 0x3c, 0xff}
	case "whole":
		return color.RGBA{0x6b, 0x72, 0x80, 0xff}
	}
	return color.RGBA{0x20, 0x24, 0x2a, 0xff} // ink
}

const (
	small = vg.Length(9)  // points, of text in the picture
	large = vg.Length(12) // of its title

	margin = vg.Length(10) // around a picture
)

// sans is the font of all text.
func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// newPlot is an empty picture with a title and what the axis below it counts.
func newPlot(title, below string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text = title, below
	p.Title.TextStyle.Font, p.Title.Padding = sans(large), vg.Points(8)
	for _, s := range []*draw.TextStyle{&p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		s.Font, s.Color = sans(small), colourOf("ink")
	}
	p.BackgroundColor = color.White
	p.X.Tick.Marker, p.Y.Tick.Marker = plainTicks{}, plainTicks{}
	return p
}

// plainTicks are gonum's, without digits that say nothing.
type plainTicks struct{}

func (plainTicks) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = strconv.FormatFloat(ticks[i].Value, 'f', -1, 64)
		}
	}
	return ticks
}

// unit is the one in which times up to so many us are short numbers, and its us.
func unit(us float64) (string, float64) {
	switch {
	case us < 1000:
		return "us", 1
	case us < 1e6:
		return "ms", 1e3
	}
	return "s", 1e6
}

// textAt writes text whose left end, or right end, stands at a point.
func textAt(c *draw.Canvas, at vg.Point, text string, right bool) {
	s := draw.TextStyle{Color: colourOf("ink"), Font: sans(small), YAlign: draw.YCenter, Handler: plot.DefaultTextHandler}
	if right {
		s.XAlign = draw.XRight
	}
	at.Y++ // digits stand on the line, most letters too
	c.FillText(s, at, text)
}

// bar is one of a picture that lies on its side.
type bar struct {
	at, height float64 // its middle, in rows from below, and its height
	from, to   float64 // ends on the axis below
	low, high  float64 // error bar, none where they are equal
	kind, text string
}

// bars is a plot.Plotter of them.
type bars []bar

func (bs bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, b := range bs {
		l, r := x(math.Min(b.from, b.to)), x(math.Max(b.from, b.to))
		lo, hi := y(b.at-b.height/2), y(b.at+b.height/2)
		c.FillPolygon(colourOf(b.kind), []vg.Point{{X: l, Y: lo}, {X: r, Y: lo}, {X: r, Y: hi}, {X: l, Y: hi}})
		end := r
		if b.low < b.high {
			whisker(&c, x(b.low), x(b.high), y(b.at))
			end = max(end, x(b.high))
		}
		textAt(&c, vg.Point{X: end + 4, Y: y(b.at)}, b.text, false)
	}
}

// whisker is an error bar that lies.
func whisker(c *draw.Canvas, low, high, at vg.Length) {
	line := draw.LineStyle{Color: colourOf("ink"), Width: vg.Points(0.8)}
	c.StrokeLine2(line, low, at, high, at)
	for _, x := range []vg.Length{low, high} {
		c.StrokeLine2(line, x, at-2.5, x, at+2.5)
	}
}

// legendRows is the room below the last bar for a legend, in rows.
const legendRows = 1

// DataRange leaves room behind the longest bar for its number, and below all.
func (bs bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, b := range bs {
		xmax, ymax = max(xmax, b.from, b.to, b.high), max(ymax, b.at)
	}
	return 0, 1.15 * xmax, -0.6 - legendRows, ymax + 0.6
}

// swatch is a colour of the legend.
type swatch string

func (s swatch) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(colourOf(string(s)), []vg.Point{c.Min, {X: c.Max.X, Y: c.Min.Y}, c.Max, {X: c.Min.X, Y: c.Max.Y}})
}

// rowTicks name rows on the axis at the left.
func rowTicks(p *plot.Plot, rows []string) {
	p.NominalY(rows...)
	p.Y.Tick.Label.Font, p.Y.Width, p.Y.Tick.Width = sans(small), 0, 0
}

// save writes a picture of a size in points.
func save(w io.Writer, p *plot.Plot, format string, width, height float64) error {
	picture, err := draw.NewFormattedCanvas(vg.Length(width), vg.Length(height), format)
	if err != nil {
		return err
	}
	whole := draw.New(picture)
	whole.FillPolygon(color.White, []vg.Point{whole.Min, {X: whole.Max.X, Y: whole.Min.Y}, whole.Max, {X: whole.Min.X, Y: whole.Max.Y}})
	p.Draw(draw.Crop(whole, margin, -margin, margin, -margin))
	if format != "svg" {
		_, err = picture.WriteTo(w)
		return err
	}
	var text strings.Builder
	if _, err = picture.WriteTo(&text); err == nil { // where the font is not installed, another one without serifs
		_, err = io.WriteString(w, strings.ReplaceAll(text.String(), "font-family:Liberation Sans", "font-family:Liberation Sans,Arial,Helvetica,sans-serif"))
	}
	return err
}
