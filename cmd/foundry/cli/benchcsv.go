package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"foundry"
)

// sampleFile is the file of --csv: opened before anything is measured, so that a
// name that cannot be written is said first, and there only when it is whole.
type sampleFile struct {
	path string
	f    *os.File
}

// openSamples returns nil for no path.
func openSamples(path string) (*sampleFile, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, fmt.Errorf("--csv: %w", err)
	}
	return &sampleFile{path, f}, nil
}

// finish writes rows; discard without it leaves nothing behind.
func (s *sampleFile) finish(rows []foundry.BenchRow) error {
	if s == nil {
		return nil
	}
	err := errors.Join(printCSV(s.f, rows), s.f.Chmod(0o644), s.f.Close())
	if err == nil {
		err = os.Rename(s.f.Name(), s.path)
	}
	if err != nil {
		return fmt.Errorf("--csv: %w", err)
	}
	return nil
}

func (s *sampleFile) discard() {
	if s != nil {
		_ = s.f.Close()
		_ = os.Remove(s.f.Name()) // gone where finish has renamed it
	}
}

// printCSV prints a line a sample, or one a row where nothing was measured.
func printCSV(out io.Writer, rows []foundry.BenchRow) error {
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
