package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"foundry/runtime/bench"
	"foundry/runtime/chart"
	"foundry/runtime/eval"
	"foundry/runtime/files"
)

func plotCommand(s IO) *cobra.Command {
	var out, as string
	cmd := &cobra.Command{
		Use:   "plot FILE...",
		Short: "Draw what bench --json and quality --format json have written",
		Long: `The pictures are: times (modelled beside measured, a bar a variant), waterfall (what
each fusion of a ladder saves), predicted (modelled against measured times) and quality
(tokens a second against what quantised weights change: rows of bench, one a format of
the weights, and those of quality). Unless --as says which, files with quality are drawn
so, a ladder as a waterfall, and others as times.`,
		Example: `  foundry plot ladder.json -o ladder.svg                # rows of bench --variants ladder --json
  foundry plot ladder.json --as predicted -o predicted.png
  foundry plot formats.json quality.json -o x.svg       # rows of bench with several --weights`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkPlot(cmd, out); err != nil {
				return err
			}
			var rows []bench.Row
			var quality []eval.Quality
			for _, path := range args {
				text, err := files.ReadAny(path, maxRecording)
				if err != nil {
					return err
				}
				r, q, err := readResults(text)
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				rows, quality = append(rows, r...), append(quality, q...)
			}
			if err := drawPlot(cmd.Context(), out, as, rows, quality); err != nil {
				return err
			}
			fmt.Fprintf(s.Out, "%d rows drawn to %s\n", len(rows), out)
			return nil
		},
	}
	p := cmd.Flags()
	p.StringVarP(&out, "out", "o", "", "file to write, .svg or .png")
	p.StringVar(&as, "as", "", "what to draw: "+strings.Join(chart.Kinds(), ", "))
	return cmd
}

// extension is that of a file's name, without the point.
func extension(path string) string { return strings.TrimPrefix(filepath.Ext(path), ".") }

// checkPlot is an error of what cannot be drawn, before anything is measured.
func checkPlot(cmd *cobra.Command, path string) error {
	if !slices.Contains(chart.Formats(), extension(path)) {
		return usagef("%s: a picture goes to a file whose name ends in .%s, not to %q", cmd.Name(), strings.Join(chart.Formats(), " or ."), path)
	}
	return nil
}

// drawPlot writes a picture; as may be empty.
func drawPlot(ctx context.Context, path, as string, rows []bench.Row, quality []eval.Quality) error {
	kind := chart.Kind(as)
	if as == "" {
		kind = chart.KindOf(rows, quality)
	}
	var picture bytes.Buffer
	if err := chart.Draw(&picture, extension(path), kind, rows, quality); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	err := files.Write(ctx, path, func(w io.Writer) error {
		_, err := w.Write(picture.Bytes())
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot write the plot: %w", err)
	}
	return nil
}

// readResults reads rows of bench and of quality, an object a line.
func readResults(text []byte) (rows []bench.Row, quality []eval.Quality, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		var raw json.RawMessage
		if err := d.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, fmt.Errorf("it holds no JSON objects: %w", err)
		}
		var is struct {
			Variant *string  `json:"variant"`
			KL      *float64 `json:"kl"`
		}
		if err := json.Unmarshal(raw, &is); err != nil {
			return nil, nil, err
		}
		switch {
		case is.Variant != nil:
			rows = append(rows, bench.Row{})
			err = json.Unmarshal(raw, &rows[len(rows)-1])
		case is.KL != nil:
			quality = append(quality, eval.Quality{})
			err = json.Unmarshal(raw, &quality[len(quality)-1])
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if len(rows)+len(quality) == 0 {
		return nil, nil, errors.New("it holds no row of foundry bench --json or foundry quality --format json")
	}
	return rows, quality, nil
}
