// Package paint turns the SVG that Graphviz writes into PNG. It knows the part of
// SVG that Graphviz writes (shapes, paths of lines and curves, text of one style a piece)
// and refuses the rest. Text is set in Liberation, whose letters are as wide as
// Helvetica's, for which Graphviz made room.
package paint

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"
	"strings"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
)

const (
	dpi       = 144      // of a PNG
	pixels    = 64 << 20 // the most that a PNG has: its memory is four times as many bytes
	leastDPI  = 36       // below, text is dots
	pointsPer = 72       // of an inch
)

// PNG writes the picture as PNG, at 144 dots an inch or fewer where that is more than 64
// million. The error says so of a picture that would be unreadable.
func PNG(w io.Writer, svg []byte) error {
	width, height, err := size(svg)
	if err != nil {
		return err
	}
	at := min(dpi, pointsPer*math.Sqrt(pixels/(width*height)))
	if at < leastDPI {
		return fmt.Errorf("the picture is %.0f by %.0f points, too large for PNG: take svg, or draw less of it", width, height)
	}
	c := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(vg.Length(width), vg.Length(height)), vgimg.UseDPI(int(at)))}
	if err := paint(c, svg, height); err != nil {
		return err
	}
	_, err = c.WriteTo(w)
	return err
}

// attributes are those of an element, by name.
type attributes map[string]string

func attributesOf(e xml.StartElement) attributes {
	a := attributes{}
	for _, x := range e.Attr {
		a[x.Name.Local] = x.Value
	}
	return a
}

// numbers reads the numbers in s, which spaces, commas and letters part.
func numbers(s string) ([]float64, error) {
	parts := strings.FieldsFunc(s, func(c rune) bool { return c == ' ' || c == ',' || c == '\n' || c >= 'A' && c != 'e' })
	out := make([]float64, len(parts))
	for i, p := range parts {
		var err error
		if out[i], err = strconv.ParseFloat(p, 64); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a attributes) number(name string, otherwise float64) float64 {
	if n, err := strconv.ParseFloat(a[name], 64); err == nil {
		return n
	}
	return otherwise
}

// size is the picture's width and height, in points.
func size(svg []byte) (width, height float64, err error) {
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		t, err := d.Token()
		if err != nil {
			return 0, 0, fmt.Errorf("paint: no picture: %w", err)
		}
		e, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		a := attributesOf(e)
		n, err := numbers(a["viewBox"])
		if e.Name.Local != "svg" || err != nil || len(n) != 4 || !(n[2] > 0 && n[3] > 0) || math.IsInf(n[2]*n[3], 0) {
			return 0, 0, errors.New("paint: the picture is no SVG with a size")
		}
		return n[2], n[3], nil
	}
}

// painter draws on a canvas whose y goes up.
type painter struct {
	on    vg.Canvas
	fonts *font.Cache
	x, y  float64 // place of the picture's origin, y from the top
	high  float64
}

func paint(on vg.Canvas, svg []byte, height float64) error {
	p := &painter{on: on, fonts: font.NewCache(liberation.Collection()), high: height}
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("paint: %w", err)
		}
		e, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		a := attributesOf(e)
		switch e.Name.Local {
		case "svg", "a":
		case "g":
			err = p.takeShift(a)
		case "title":
			err = d.Skip()
		case "polygon", "polyline":
			err = p.corners(a, e.Name.Local == "polygon")
		case "path":
			err = p.curve(a)
		case "ellipse":
			p.ellipse(a)
		case "text":
			var text string
			if err = d.DecodeElement(&text, &e); err == nil {
				p.text(a, text)
			}
		default:
			err = fmt.Errorf("an element %q is nothing that Graphviz writes", e.Name.Local)
		}
		if err != nil {
			return fmt.Errorf("paint: %w", err)
		}
	}
}

// takeShift takes the shift of the group that holds the picture: Graphviz writes one, scaled by
// one and not turned.
func (p *painter) takeShift(a attributes) error {
	if a["transform"] == "" {
		return nil
	}
	_, shift, ok := strings.Cut(a["transform"], "translate(")
	n, err := numbers(strings.TrimSuffix(shift, ")"))
	if !ok || err != nil || len(n) != 2 || !strings.HasPrefix(a["transform"], "scale(1 1) rotate(0)") {
		return fmt.Errorf("the transform %q is none that is known", a["transform"])
	}
	p.x, p.y = n[0], n[1]
	return nil
}

func (p *painter) at(x, y float64) vg.Point {
	return vg.Point{X: vg.Length(p.x + x), Y: vg.Length(p.high - p.y - y)}
}

func (p *painter) corners(a attributes, closed bool) error {
	n, err := numbers(a["points"])
	if err != nil || len(n) < 4 || len(n)%2 != 0 {
		return fmt.Errorf("points %q", a["points"])
	}
	var path vg.Path
	path.Move(p.at(n[0], n[1]))
	for i := 2; i < len(n); i += 2 {
		path.Line(p.at(n[i], n[i+1]))
	}
	if closed {
		path.Close()
	}
	p.draw(a, path)
	return nil
}

// curve draws a path of one move and cubic curves, its last letter perhaps Z.
func (p *painter) curve(a attributes) error {
	text := a["d"]
	n, err := numbers(text)
	if err != nil || !strings.HasPrefix(text, "M") || len(n)%6 != 2 || strings.Trim(text, "MCZ0123456789.,- e") != "" {
		return fmt.Errorf("the path %q is not of curves", text)
	}
	var path vg.Path
	path.Move(p.at(n[0], n[1]))
	for i := 2; i < len(n); i += 6 {
		path.CubeTo(p.at(n[i], n[i+1]), p.at(n[i+2], n[i+3]), p.at(n[i+4], n[i+5]))
	}
	if strings.HasSuffix(text, "Z") {
		path.Close()
	}
	p.draw(a, path)
	return nil
}

func (p *painter) ellipse(a attributes) {
	cx, cy, rx, ry := a.number("cx", 0), a.number("cy", 0), a.number("rx", 0), a.number("ry", 0)
	// Four curves, the handles as long as a circle's of radius one are.
	const k = 0.5522847498
	var path vg.Path
	path.Move(p.at(cx+rx, cy))
	for _, q := range [4][2]float64{{1, 0}, {0, 1}, {-1, 0}, {0, -1}} {
		c, s := q[0], q[1]
		to := func(x, y float64) vg.Point { return p.at(cx+rx*(c*x-s*y), cy+ry*(s*x+c*y)) }
		path.CubeTo(to(1, k), to(k, 1), to(0, 1))
	}
	path.Close()
	p.draw(a, path)
}

// draw fills and strokes a shape as its attributes say.
func (p *painter) draw(a attributes, path vg.Path) {
	if c, ok := colour(a["fill"], a.number("fill-opacity", 1)); ok {
		p.on.SetColor(c)
		p.on.Fill(path)
	}
	c, ok := colour(a["stroke"], a.number("stroke-opacity", 1))
	if !ok {
		return
	}
	p.on.SetColor(c)
	p.on.SetLineWidth(vg.Length(a.number("stroke-width", 1)))
	var dashes []vg.Length
	if n, err := numbers(a["stroke-dasharray"]); err == nil {
		for _, d := range n {
			dashes = append(dashes, vg.Length(d))
		}
	}
	p.on.SetLineDash(dashes, 0)
	p.on.Stroke(path)
}

func (p *painter) text(a attributes, text string) {
	c, ok := colour(a["fill"], a.number("fill-opacity", 1))
	if !ok {
		c = color.Black
	}
	f := font.Font{Typeface: "Liberation", Variant: "Sans"}
	if strings.HasPrefix(a["font-family"], "Times") {
		f.Variant = "Serif"
	}
	if a["font-weight"] == "bold" {
		f.Weight = xfont.WeightBold
	}
	face := p.fonts.Lookup(f, vg.Length(a.number("font-size", 14)))
	at := p.at(a.number("x", 0), a.number("y", 0))
	switch a["text-anchor"] {
	case "middle":
		at.X -= face.Width(text) / 2
	case "end":
		at.X -= face.Width(text)
	}
	p.on.SetColor(c)
	p.on.FillString(face, at, text)
}

// colour reads "#rrggbb"; false is none.
func colour(s string, opacity float64) (color.Color, bool) {
	switch s {
	case "", "none", "transparent":
		return nil, false
	case "black":
		s = "#000000"
	case "white":
		s = "#ffffff"
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 32)
	if err != nil || len(s) != 7 {
		return color.Black, true // a name: pictures of this project have none
	}
	return color.NRGBA{uint8(n >> 16), uint8(n >> 8), uint8(n), uint8(255 * opacity)}, true
}
