package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// measured is something to be measured, and what was measured of it.
type measured struct {
	name    string                                       // the name in errors
	run     func(context.Context) (time.Duration, error) // one run, which returns how long it took
	samples []float64                                    // us, in the order they were taken
}

// interleave runs each of all once, then each again, for as long as more says so of
// the rounds behind it: a machine that warms up or slows down favours none. The first
// round warms up and counts for nothing. told hears how many runs are done, and after
// is called behind each round that counts; nil: nobody is.
func interleave(ctx context.Context, all []*measured, more func(rounds int) bool, told func(runs int), after func()) error {
	for round := -1; round < 0 || more(round); round++ {
		for i, t := range all {
			if told != nil {
				told((round+1)*len(all) + i)
			}
			took, err := t.run(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			if round >= 0 {
				t.samples = append(t.samples, float64(took.Nanoseconds())/1e3)
			}
		}
		if round >= 0 && after != nil {
			after()
		}
	}
	return nil
}

// untilRounds says more until there were n.
func untilRounds(n int) func(int) bool { return func(round int) bool { return round < n } }

// more says more until each of all was run Reps times and, where Within asks for it,
// every median is known well enough or Limit is over.
func (o *Options) more(all []*measured) func(int) bool {
	var until time.Time
	return func(round int) bool {
		if round == 0 {
			until = time.Now().Add(o.Limit)
		}
		if round < o.Reps {
			return true
		}
		if o.Within <= 0 || !time.Now().Before(until) {
			return false
		}
		return slices.ContainsFunc(all, func(m *measured) bool {
			return len(m.samples) < fewestRuns || medianInterval(slices.Sorted(slices.Values(m.samples))).halfWidth() > o.Within
		})
	}
}

// told reports the runs of n things to the options' Progress.
func (o *Options) told(n int) func(int) {
	if o.Progress == nil {
		return nil
	}
	return func(runs int) { o.Progress("measure", int64(runs), int64(max(runs, (o.Reps+1)*n))) }
}

// wallTime times a run that tells no time of its own.
func wallTime(run func(context.Context) error) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		start := time.Now()
		err := run(ctx)
		return time.Since(start), err
	}
}

// report tells Measured which of the rows have been measured so far.
func (o *Options) report(rows []Row) {
	if o.Measured == nil {
		return
	}
	var done []Row
	for _, r := range rows {
		if r.Measured != nil {
			done = append(done, r)
		}
	}
	o.Measured(done)
}
