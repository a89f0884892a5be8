package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"foundry/runtime/bench"
	"foundry/runtime/files"
)

// slowerError ends a comparison that found a row slower.
type slowerError struct{ error }

func compareCommand(s IO) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "compare A... -- B...",
		Short: "Say whether B is slower than A, of samples that several processes took",
		Long: `Each file holds what one process measured: foundry bench --csv FILE. A and B are at
least six files each, or a folder of them, taken in turn (A, B, A, B ...), so that a
machine that slows down favours neither. Each row gets a verdict: slower, faster, same
within 2 %, or cannot tell. That is also said where the machine was busy: where six
processes of a side spread by more than a tenth, or n of them by more than a tenth times
the root of n/6. Processes and their samples are drawn anew many times to tell chance
from change; over all rows together, equal programs are called different in at most one
comparison of twenty.

The exit code is 3 where a row is slower.`,
		Example: `  for i in 1 2 3 4 5 6; do ./old bench --csv a/$i.csv; ./new bench --csv b/$i.csv; done
  foundry bench compare a/ -- b/`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			if dash < 0 && len(args) == 2 {
				dash = 1
			}
			if dash < 1 || dash >= len(args) {
				return usagef("compare: give files or folders of A, then -- and those of B; see %s --help", cmd.CommandPath())
			}
			a, err := recordings(args[:dash])
			if err != nil {
				return err
			}
			b, err := recordings(args[dash:])
			if err != nil {
				return err
			}
			rows, err := bench.Compare(a, b)
			if err != nil {
				return err
			}
			return printCompared(s, rows, len(a), len(b), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a row")
	return cmd
}

// maxRecording is beyond any file of samples, in bytes.
const maxRecording = 64 << 20

func recordings(paths []string) ([]bench.Recording, error) {
	var found []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("%s: no such file or folder", path)
		}
		if !info.IsDir() {
			found = append(found, path)
			continue
		}
		inside, err := filepath.Glob(filepath.Join(path, "*.csv"))
		if err != nil {
			return nil, err
		}
		found = append(found, inside...)
	}
	var out []bench.Recording
	for _, path := range found {
		text, err := files.ReadAny(path, maxRecording)
		if err != nil {
			return nil, err
		}
		r, err := bench.ReadRecording(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func printCompared(s IO, rows []bench.Compared, a, b int, asJSON bool) error {
	slower := 0
	t := newTable("row", "A", "B", "spread", "change", "95 % within", "p", "verdict").alignRight("A", "B", "spread", "change", "95 % within", "p")
	for _, r := range rows {
		if r.Verdict == bench.Slower {
			slower++
		}
		if asJSON {
			if err := json.NewEncoder(s.Out).Encode(r); err != nil {
				return err
			}
		}
		percent := func(v float64) string { return fmt.Sprintf("%+.1f %%", 100*v) }
		t.row(r.Row, usText(r.A), usText(r.B), fmt.Sprintf("%.1f %%", 100*r.Spread), percent(r.Change.Mid), percent(r.Change.Low)+" to "+percent(r.Change.High), fmt.Sprintf("%.3f", r.P), string(r.Verdict))
	}
	if !asJSON {
		fmt.Fprintf(s.Out, "%d processes of A, %d of B\n", a, b)
		t.render(s.Out)
	}
	if slower > 0 {
		return slowerError{fmt.Errorf("%d of %d rows are slower", slower, len(rows))}
	}
	return nil
}
