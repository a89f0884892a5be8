package cli

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"

	"foundry/runtime/bench"
)

// printCSV prints a line a sample, or one a row where nothing was measured.
func printCSV(out io.Writer, rows []bench.Row) error {
	w := csv.NewWriter(out)
	write := func(cells ...string) { _ = w.Write(cells) } // Flush's error, below, is the first
	write("model", "device", "phase", "variant", "context", "prompt", "dispatches", "waves", "barriers",
		"command_buffers", "weight_bytes", "moved_bytes", "arena_bytes", "sample", "us")
	for _, r := range rows {
		fixed := []string{r.Model, r.Device, r.Phase, r.Variant, strconv.Itoa(r.Context), strconv.Itoa(r.Prompt),
			strconv.Itoa(r.Dispatches), strconv.Itoa(r.Waves), strconv.Itoa(r.Barriers), strconv.Itoa(r.CommandBuffers),
			strconv.FormatInt(r.WeightBytes, 10), strconv.FormatInt(r.MovedBytes, 10), strconv.FormatInt(r.ArenaBytes, 10)}
		if len(r.Samples) == 0 {
			write(append(fixed, "", "")...)
		}
		for i, us := range r.Samples {
			write(append(slices.Clone(fixed), strconv.Itoa(i), strconv.FormatFloat(us, 'f', 1, 64))...)
		}
	}
	w.Flush()
	return w.Error()
}
