// Package chart turns rows of benchmarks and of quality into pictures.
//
//	Times      a bar a variant: modelled beside measured
//	Waterfall  what each variant of a ladder takes off the one before
//	Predicted  modelled against measured times
//	Quality    speed against what quantised weights change
//
// Read next: frame.go for what all of them share.
package chart

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"foundry/ir/names"
	"foundry/runtime/bench"
	"foundry/runtime/engine"
	"foundry/runtime/eval"
)

// Kind says what a picture shows.
type Kind string

// The kinds.
const (
	Times     Kind = "times"
	Waterfall Kind = "waterfall"
	Predicted Kind = "predicted"
	Quality   Kind = "quality"
)

// Kinds lists them.
func Kinds() []string {
	return []string{string(Times), string(Waterfall), string(Predicted), string(Quality)}
}

// Formats are those of files.
func Formats() []string { return []string{"svg", "png"} }

// KindOf is the picture that rows ask for when nobody says: quality where there is such,
// a waterfall for a ladder, otherwise times.
func KindOf(rows []bench.Row, quality []eval.Quality) Kind {
	switch {
	case len(quality) > 0:
		return Quality
	case isLadder(rows):
		return Waterfall
	}
	return Times
}

// isLadder reports whether each row but the first saves against the row before.
func isLadder(rows []bench.Row) bool {
	for i := range rows {
		if i > 0 && (rows[i].Saves == nil || rows[i].Saves.Without != rows[i-1].Variant) {
			return false
		}
	}
	return len(rows) > 2
}

// Draw writes a picture of rows, in one of Formats. quality is for the kind of that name,
// which puts a row beside the quality of its weights.
func Draw(w io.Writer, format string, kind Kind, rows []bench.Row, quality []eval.Quality) error {
	if len(rows) == 0 {
		return errors.New("there is no row to draw")
	}
	if !slices.Contains(Formats(), format) {
		return fmt.Errorf("there is no format %q of pictures, want %s", format, strings.Join(Formats(), " or "))
	}
	switch kind {
	case Times:
		return drawTimes(w, format, rows)
	case Waterfall:
		return drawWaterfall(w, format, rows)
	case Predicted:
		return drawPredicted(w, format, rows)
	case Quality:
		return drawQuality(w, format, rows, quality)
	}
	return fmt.Errorf("there is no picture %q, want one of %s", kind, strings.Join(Kinds(), ", "))
}

// targetOf is whose modelled times are drawn: beside measured ones those of the device,
// where it has costs of its own, otherwise of what the row was compiled for; empty for a
// plan from disk.
func targetOf(r *bench.Row) string {
	if device, _, err := engine.ParseDevice(r.Device); err == nil && r.Measured != nil && r.Modelled[device] > 0 {
		return device
	}
	if r.Modelled[r.Target] > 0 {
		return r.Target
	}
	for _, name := range slices.Sorted(maps.Keys(r.Modelled)) {
		return name
	}
	return ""
}

// titleOf says what rows are of.
func titleOf(rows []bench.Row) string { return rows[0].Model + ", " + rows[0].Phase }

// aTime says what a row's time is the time of.
func aTime(r *bench.Row) string {
	if r.Phase == "decode" {
		return fmt.Sprintf("a token behind %d", r.Prompt)
	}
	return fmt.Sprintf("a prompt of %d tokens", r.Prompt)
}

// measuredOn says where measured times come from.
func measuredOn(r *bench.Row) string {
	if r.Times != "" {
		return "measured on " + r.Device + " (" + r.Times + ": says nothing of a GPU)"
	}
	return "measured on " + r.Device
}

// modelledFor says where modelled times come from.
func modelledFor(target string) string { return "modelled for " + target }

func usText(us float64) string { return names.Micros(us) }
