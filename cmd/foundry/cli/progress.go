package cli

import (
	"io"
	"os"
	"sync"
	"time"

	"foundry"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress returns what draws the state of long work on a terminal, and nothing
// (nil) where w is none.
func progress(w io.Writer) foundry.Progress {
	if m, ok := w.(messages); ok {
		w = m.to
	}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	var mu sync.Mutex
	var bar *progressbar.ProgressBar
	var current string
	return func(what string, done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if bar == nil || what != current {
			if bar != nil {
				_ = bar.Clear()
			}
			current = what
			bar = progressbar.NewOptions64(total,
				progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
				progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
				progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(true))
		}
		// A bar that cannot be drawn is no reason to stop the work.
		_ = bar.Set64(done)
	}
}
