package viz

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// ErrNoGraphviz says that a picture needs a program that is not there.
var ErrNoGraphviz = errors.New("drawing SVG and PNG takes Graphviz, whose program dot was not found: install it (apt install graphviz, brew install graphviz, or graphviz.org/download), or ask for .dot or .html, which need nothing")

// formats are the picture formats that Render writes.
var formats = []string{"svg", "png", "pdf"}

// Render draws DOT text as svg, png or pdf with the program graphviz, the path
// of Graphviz's dot: what exec.LookPath("dot") found, or empty. Empty gives
// ErrNoGraphviz. Nothing is written to w unless all of the picture was made.
func Render(w io.Writer, graphviz, text, format string) error {
	if !slices.Contains(formats, format) {
		return fmt.Errorf("unknown picture format %q: it is one of %s", format, strings.Join(formats, ", "))
	}
	if graphviz == "" {
		return ErrNoGraphviz
	}
	var picture, complaint bytes.Buffer
	cmd := exec.Command(graphviz, "-T"+format)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), &picture, &complaint
	if err := cmd.Run(); err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n")
		return fmt.Errorf("%s could not draw the graph: %w: %s", graphviz, err, line)
	}
	_, err := w.Write(picture.Bytes())
	return err
}
