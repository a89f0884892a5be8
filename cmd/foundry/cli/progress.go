package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"foundry"
	"foundry/ir/names"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// sayEvery is how often a line of progress comes where there is no terminal: work that
// takes less says nothing.
const sayEvery = 10 * time.Second

// countsAreBytes is from where on a total is one of bytes: nothing else that is told of
// comes in millions.
const countsAreBytes = 1 << 20

// progress returns what tells of the state of long work: a bar on a terminal, elsewhere
// a line now and then with what is left.
func progress(w io.Writer) foundry.Progress {
	if m, ok := w.(messages); ok {
		w = m.to
	}
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if !term.IsTerminal(int(f.Fd())) {
		return progressLines(w, time.Now)
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

// progressLines prints "compile: 120 of 551, about 4 min 2 s left" and "weights: 2.5 GB of
// 4.3 GB, about 8 s left".
func progressLines(w io.Writer, now func() time.Time) foundry.Progress {
	var mu sync.Mutex
	var current string
	var began, said time.Time
	var first int64
	return func(what string, done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		at := now()
		if what != current {
			current, began, said, first = what, at, at, done
		}
		if at.Sub(said) < sayEvery {
			return
		}
		said = at
		left := ""
		if done > first && total > done {
			each := float64(at.Sub(began)) / float64(done-first) // a product of whole numbers overflows where these are bytes
			left = ", about " + names.Duration(time.Duration(max(float64(time.Second), each*float64(total-done))).Round(time.Second)) + " left"
		}
		if total >= countsAreBytes {
			fmt.Fprintf(w, "%s: %s of %s%s\n", what, names.Bytes(done), names.Bytes(total), left)
			return
		}
		fmt.Fprintf(w, "%s: %d of %d%s\n", what, done, total, left)
	}
}
