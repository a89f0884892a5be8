package viz

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"foundry/runtime/child"
)

// ErrNoGraphviz says that a picture needs a program that is not there.
var ErrNoGraphviz = errors.New("drawing SVG and PNG takes Graphviz, whose program dot was not found: install it (apt install graphviz, brew install graphviz, or graphviz.org/download), or ask for .dot or .html, which need nothing")

// formats are the picture formats that Render writes.
var formats = []string{"svg", "png", "pdf"}

// Render draws DOT text as svg, png or pdf with the program graphviz, the path
// of Graphviz's dot: what child.Find("dot") found, or empty. Empty gives
// ErrNoGraphviz. Nothing is written to w unless all of the picture was made.
func Render(ctx context.Context, w io.Writer, graphviz, text, format string) error {
	if !slices.Contains(formats, format) {
		return fmt.Errorf("unknown picture format %q: it is one of %s", format, strings.Join(formats, ", "))
	}
	if graphviz == "" {
		return ErrNoGraphviz
	}
	picture, _, err := child.Run(ctx, child.Command{Path: graphviz, Args: []string{"-T" + format}, Stdin: text, Limits: child.ForCompilers})
	if err != nil {
		return fmt.Errorf("the graph could not be drawn: %w", err)
	}
	_, err = w.Write(picture)
	return err
}
