package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"foundry"
	"foundry/runtime/bench"

	"foundry/runtime/child"
	"foundry/runtime/files"
	"foundry/viz"
)

func dotCommand(s IO) *cobra.Command {
	var model modelFlags
	var compile compileFlags
	var o viz.Options
	var point, entry, out, times string
	cmd := &cobra.Command{
		Use:   "dot",
		Short: "Draw a graph at any point of the pipeline, or the plan",
		Example: `  foundry dot --collapse                     # the fused decode graph, DOT on standard output
  foundry dot --at input --layer 0 -o input.svg
  foundry dot --at after:fuse-attention --layer 2 -o x.dot
  foundry dot --at plan --layer 1 -o plan.png
  foundry dot -o x.html                      # a page to click through: passes, plan, kernels
  foundry dot --times decode.json -o x.html  # with times of foundry bench --per-kernel --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := exclusive(cmd, "layer", "collapse"); err != nil {
				return err
			}
			if cmd.Flags().Changed("layer") && o.Layer < 0 {
				return usagef("dot: --layer is %d, want at least 0", o.Layer)
			}
			format := strings.TrimPrefix(filepath.Ext(out), ".")
			switch format {
			case "dot", "gv", "svg", "png", "pdf", "html", "":
			default:
				return usagef("dot: %s: cannot draw .%s, want .dot, .svg, .png, .pdf or .html", out, format)
			}
			if times != "" && format != "html" {
				return usagef("dot: --times is for a page; give -o FILE.html")
			}
			measured, err := readTimes(times)
			if err != nil {
				return err
			}
			m, err := model.open(s)
			if err != nil {
				return err
			}
			defer m.Close()
			c, err := compile.options(cmd, s)
			if err != nil {
				return err
			}
			if _, err := compile.search(cmd, s, m, &c); err != nil {
				return err
			}
			var picture bytes.Buffer
			if format == "html" {
				err = writePage(cmd.Context(), &picture, s, m, c, o, measured)
			} else {
				var text string
				if text, err = viz.Draw(m, c, point, entry, o); err == nil {
					err = render(cmd.Context(), s.Err, &picture, text, format)
				}
			}
			if err != nil {
				return err
			}
			return writeOut(cmd.Context(), s.Out, out, picture.Bytes())
		},
	}
	model.add(cmd)
	compile.add(cmd)
	compile.trust.add(cmd)
	p := cmd.Flags()
	p.StringVar(&point, "at", "fused", "point of the pipeline: input, after:PASS, fused or plan")
	p.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "stage" { // an alias, which scripts may have
			name = "at"
		}
		return pflag.NormalizedName(name)
	})
	p.StringVar(&entry, "entry", "decode", "decode or prefill")
	p.IntVar(&o.Layer, "layer", viz.AllLayers, "draw this layer only")
	p.BoolVar(&o.Collapse, "collapse", false, "draw equal layers once, with their count")
	p.BoolVar(&o.Weights, "draw-weights", false, "draw weights and constants as boxes")
	p.StringVar(&times, "times", "", "of a page: file of what bench --per-kernel --json printed, for the times that it measured in place of modelled ones")
	p.StringVarP(&out, "output", "o", "", "file; its ending says the format (standard output: DOT)")
	return cmd
}

// writePage writes the page of the plan that compile would write, with what its fusions
// save.
func writePage(ctx context.Context, w io.Writer, s IO, m *foundry.Model, o foundry.CompileOptions, picture viz.Options, measured measuredTimes) error {
	o.Sampler = true
	page := viz.Page{Compile: o, Weights: picture.Weights, Worth: map[string]viz.Worth{}, Device: measured.device, Times: measured.us}
	f, err := bench.OfFusions(ctx, m, bench.Options{Device: foundry.CPU, Compile: o, Phase: "decode", Prompt: 128, Progress: progress(s.Err)})
	if err != nil {
		return err
	}
	target := f.Whole.Target
	for i := range f.Each {
		r := &f.Each[i]
		var w viz.Worth
		if r.SavesAlone != nil {
			w.SavesAlone = r.SavesAlone.Modelled[target]
		}
		if r.Saves != nil {
			us := r.Saves.Modelled[target]
			w.Matched, w.Saves, w.PerSite, w.Share = true, us, r.PerSite(us), us/(f.Whole.Modelled[target]+us)
		}
		page.Worth[r.Pass] = w
	}
	return viz.WritePage(ctx, w, m, page)
}

// saidFrom is from what a drawing's time is said before it begins.
const saidFrom = 10 * time.Second

// render turns DOT text into the format; the system's Graphviz draws what is a picture,
// where there is one.
func render(ctx context.Context, says, w io.Writer, text, format string) error {
	if format == "" || format == "dot" || format == "gv" {
		_, err := io.WriteString(w, text)
		return err
	}
	program, err := child.Find("dot")
	if err != nil {
		program = "" // then this one draws
	}
	if t := viz.DrawingTime(program, text); t > saidFrom {
		fmt.Fprintf(says, "drawing %d edges takes about %s; --collapse draws equal layers once, --layer N one of them\n", strings.Count(text, "->"), t.Round(time.Second))
	}
	return viz.Render(ctx, w, program, text, format)
}

// writeOut writes to the file, or to w where no name is given.
func writeOut(ctx context.Context, w io.Writer, path string, b []byte) error {
	if path == "" {
		_, err := w.Write(b)
		return err
	}
	err := files.Write(ctx, path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	fmt.Fprintf(w, "written to %s\n", path)
	return nil
}
