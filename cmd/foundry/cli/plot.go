package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"foundry/runtime/bench"
	"foundry/runtime/files"
)

var plotFormats = []string{"svg", "png"}

func extension(path string) string { return strings.TrimPrefix(filepath.Ext(path), ".") }

// plotRows draws a bar a variant: the measured median or, where nothing ran, the
// modelled time of the first target.
func plotRows(ctx context.Context, path string, rows []bench.Row) error {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s, %s", rows[0].Model, rows[0].Phase)
	values := make(plotter.Values, len(rows))
	names := make([]string, len(rows))
	var targets []string
	for name := range rows[0].Modelled {
		targets = append(targets, name)
	}
	slices.Sort(targets)
	for i, r := range rows {
		names[i] = r.Variant
		switch {
		case r.Measured != nil:
			values[i] = r.Measured.Median
			p.Y.Label.Text = "measured us on " + r.Device
			if r.Times != "" {
				p.Y.Label.Text += " (" + r.Times + ")"
			}
		case len(targets) > 0:
			values[i] = r.Modelled[targets[0]]
			p.Y.Label.Text = "modelled us on " + targets[0] + " (uncalibrated)"
		default:
			return fmt.Errorf("--plot: a plan from disk has no time to draw without --reps")
		}
	}
	bars, err := plotter.NewBarChart(values, vg.Points(18))
	if err != nil {
		return fmt.Errorf("--plot: %w", err)
	}
	p.Add(bars, plotter.NewGrid())
	p.NominalX(names...)
	p.X.Tick.Label.Rotation = -0.6
	p.X.Tick.Label.XAlign = -0.05
	p.Y.Min = 0
	picture, err := p.WriterTo(vg.Points(float64(120+40*len(rows))), 12*vg.Centimeter, extension(path))
	if err == nil {
		err = files.Write(ctx, path, func(w io.Writer) error {
			_, err := picture.WriteTo(w)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("cannot write the plot: %w", err)
	}
	return nil
}
