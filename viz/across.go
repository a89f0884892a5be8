package viz

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

var (
	barrierNode = regexp.MustCompile(`(?s)<g id="[^"]*" class="node barrier">.*?<text [^>]*\by="(-?[0-9.]+)"[^>]*>([^<]*)</text>\s*</g>`)
	background  = regexp.MustCompile(`<polygon fill="#ffffff" stroke="[a-z]*" points="(-?[0-9.]+),-?[0-9.]+ -?[0-9.]+,-?[0-9.]+ (-?[0-9.]+),`)
	firstNode   = regexp.MustCompile(`<g id="[^"]*" class="(node|edge)`)
)

// linesAcross draws a line from side to side of a picture, in SVG as Graphviz writes it, in
// the place of each node of the class barrier, with the node's text at its left end. Lines
// lie above clusters and below everything else.
func linesAcross(svg []byte) []byte {
	sides, first := background.FindSubmatch(svg), firstNode.FindIndex(svg)
	if sides == nil || first == nil {
		return svg
	}
	left, _ := strconv.ParseFloat(string(sides[1]), 64) // the expressions matched numbers
	right, _ := strconv.ParseFloat(string(sides[2]), 64)
	left, right = min(left, right), max(left, right)
	var lines bytes.Buffer
	rest := barrierNode.ReplaceAllFunc(svg[first[0]:], func(node []byte) []byte {
		found := barrierNode.FindSubmatch(node)
		y, _ := strconv.ParseFloat(string(found[1]), 64)
		fmt.Fprintf(&lines, `<g class="barrier"><polyline fill="none" stroke="%s" stroke-dasharray="5,3" points="%.2f,%.2f %.2f,%.2f"/>`, barColour, left, y, right, y)
		fmt.Fprintf(&lines, `<text text-anchor="start" x="%.2f" y="%.2f" font-family="Helvetica,sans-Serif" font-size="8.00" fill="%s">%s</text></g>`+"\n", left+4, y-3, barColour, found[2])
		return nil
	})
	return slices.Concat(svg[:first[0]], lines.Bytes(), rest)
}
