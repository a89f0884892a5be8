package paint

import (
	"bytes"
	"image/color"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"
)

const head = `<svg viewBox="0.00 0.00 100.00 50.00" xmlns="http://www.w3.org/2000/svg"><g id="graph0" transform="scale(1 1) rotate(0) translate(10 40)"><title>x</title>`

// Shapes lie where the picture says, in its colours; two dots are a point.
func TestPNG(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, PNG(&b, []byte(head+`
		<polygon fill="#ffffff" stroke="none" points="-10,10 -10,-40 90,-40 90,10 -10,10"/>
		<polygon fill="#0000ff" stroke="none" points="0,0 0,-10 10,-10 10,0"/>
		<ellipse fill="#00ff00" stroke="none" cx="40" cy="-20" rx="10" ry="5"/>
		<path fill="#ff0000" stroke="none" d="M60,0C60,-10 80,-10 80,0 80,10 60,10 60,0Z"/>
		<polyline fill="none" stroke="#c0392b" stroke-width="4" points="0,-35 80,-35"/>
		<text text-anchor="middle" x="20" y="-20" font-family="Helvetica,sans-Serif" font-weight="bold" font-size="20" fill="#222222">H</text>
	</g></svg>`)))
	picture, err := png.Decode(&b)
	require.NoError(t, err)
	require.Equal(t, 200, picture.Bounds().Dx())
	require.Equal(t, 100, picture.Bounds().Dy())
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(picture.At(2*(x+10), 2*(y+40))).(color.RGBA) }
	white := color.RGBA{255, 255, 255, 255}
	require.Equal(t, color.RGBA{0, 0, 255, 255}, at(5, -5))
	require.Equal(t, white, at(12, -5))
	require.Equal(t, color.RGBA{0, 255, 0, 255}, at(40, -20))
	require.Equal(t, color.RGBA{0, 255, 0, 255}, at(48, -20))
	require.Equal(t, white, at(48, -24), "the ellipse is round")
	require.Equal(t, color.RGBA{255, 0, 0, 255}, at(70, 2))
	require.Equal(t, color.RGBA{0xc0, 0x39, 0x2b, 255}, at(40, -35))
	dark := 0
	for x := 10; x < 30; x++ {
		for y := -36; y < -18; y++ {
			if c := at(x, y); c.R < 100 && c.G < 100 && c.B < 100 {
				dark++
			}
		}
	}
	require.Greater(t, dark, 20, "the letter stands there")
}

// What Graphviz does not write is refused, never left out.
func TestRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "no picture",
		"<html></html>":                          "no SVG with a size",
		head + `<rect/></g></svg>`:               `"rect" is nothing that Graphviz writes`,
		head + `<path d="M1,1A2,2"/></g></svg>`:  "not of curves",
		head + `<polygon points="1"/></g></svg>`: "points",
		head:                                     "unexpected EOF",
		`<svg viewBox="0 0 9 9"><g transform="scale(2 2) rotate(0) translate(0 0)"/></svg>`: "transform",
		`<svg viewBox="0 0 90000 90000"></svg>`:                                             "too large for PNG",
	} {
		require.ErrorContains(t, PNG(&bytes.Buffer{}, []byte(text)), want, text)
	}
}
