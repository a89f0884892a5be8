package viz

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"foundry/runtime/child"
	"foundry/viz/graphviz"
	"foundry/viz/paint"
)

// ErrNoGraphviz says that a picture needs a program that is not there.
var ErrNoGraphviz = errors.New("drawing PDF takes Graphviz, whose program dot was not found: install it (apt install graphviz, brew install graphviz, or graphviz.org/download), or ask for .svg, .png or .html, which need nothing")

// formats are the picture formats that Render writes.
var formats = []string{"svg", "png", "pdf"}

// DrawingTime is about what drawing DOT text takes, with the program graphviz or, where
// that is empty, with this program's own: what pictures of 1,000 to 3,300 edges took on one
// core of a server that did other work too.
func DrawingTime(program, text string) time.Duration {
	edges := float64(strings.Count(text, "->"))
	seconds := 1.3e-6 * edges * edges
	if program == "" {
		seconds = 1 + 5.5e-3*edges + 1e-6*edges*edges
	}
	return time.Duration(seconds * float64(time.Second))
}

// longest is what a drawing may take by the clock.
const longest = 20 * time.Minute

// Render draws DOT text as svg, png or pdf: with the program graphviz, the path of
// Graphviz's dot, or where that is empty with the Graphviz that stands in this program,
// which draws no PDF (ErrNoGraphviz). Nothing is written to w unless all of the picture was
// made.
func Render(ctx context.Context, w io.Writer, program, text, format string) error {
	if !slices.Contains(formats, format) {
		return fmt.Errorf("unknown picture format %q: it is one of %s", format, strings.Join(formats, ", "))
	}
	if program == "" && format == "pdf" {
		return ErrNoGraphviz
	}
	picture, err := rendered(ctx, program, text, format)
	if err != nil {
		return fmt.Errorf("the graph could not be drawn: %w", err)
	}
	_, err = w.Write(picture)
	return err
}

// rendered draws the layout as SVG and makes of it what was asked for.
func rendered(ctx context.Context, program, text, format string) ([]byte, error) {
	if format == "pdf" {
		return runDot(ctx, program, text, format)
	}
	svg, err := laidOut(ctx, program, text)
	if err != nil {
		return nil, err
	}
	svg = linesAcross(svg)
	if format == "svg" {
		return svg, nil
	}
	var png bytes.Buffer
	err = paint.PNG(&png, svg)
	return png.Bytes(), err
}

// laidOut is the picture as Graphviz writes it.
func laidOut(ctx context.Context, program, text string) ([]byte, error) {
	if program != "" {
		return runDot(ctx, program, text, "svg")
	}
	limited, stop := context.WithTimeoutCause(ctx, longest, fmt.Errorf("it took longer than %s", longest))
	defer stop()
	g, err := graphviz.New(limited)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	svg, err := g.SVG(limited, text)
	if ctx.Err() == nil && limited.Err() != nil {
		err = context.Cause(limited)
	}
	return svg, err
}

// runDot runs Graphviz's dot.
func runDot(ctx context.Context, program, text, format string) ([]byte, error) {
	limits := child.ForCompilers
	limits.Time = longest
	picture, _, err := child.Run(ctx, child.Command{Path: program, Args: []string{"-T" + format}, Stdin: text, Limits: limits})
	return picture, err
}
