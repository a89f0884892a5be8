package runtime

import (
	"slices"
	"sync"
	"time"
)

// Phase is work that is done once, before the runs of a plan, and timed apart
// from them.
type Phase struct {
	Name    string  `json:"name"` // the name, such as "compile kernels"
	Seconds float64 `json:"seconds"`
	Kernels int     `json:"kernels,omitempty"`  // the number of kernels that the phase was about
	Fresh   int     `json:"compiled,omitempty"` // the number of those that no cache held
	Bytes   int64   `json:"bytes,omitempty"`    // bytes moved
}

// Starter is implemented by devices that time how they are opened, and by programs
// that time how they are compiled and loaded.
type Starter interface {
	// Startup lists the phases in order.
	Startup() []Phase
}

// Startup collects phases; several goroutines may add some.
type Startup struct {
	mu     sync.Mutex
	phases []Phase
}

// Add notes a phase that began at start and ends now.
func (s *Startup) Add(p Phase, start time.Time) {
	p.Seconds = time.Since(start).Seconds()
	s.Note(p)
}

// Note notes a phase that was timed elsewhere.
func (s *Startup) Note(p Phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phases = append(s.phases, p)
}

// Phases lists what was added.
func (s *Startup) Phases() []Phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.phases)
}

// Startup lists what opening the device, compiling the kernels, filling the
// weights and recording entries took so far.
func (x *Executable) Startup() []Phase {
	var out []Phase
	for _, from := range []any{x.device, x.program} {
		if s, ok := from.(Starter); ok {
			out = append(out, s.Startup()...)
		}
	}
	return append(out, x.startup.Phases()...)
}

// stopwatch measures for how long at least one of several goroutines was at work.
type stopwatch struct {
	mu     sync.Mutex
	active int
	since  time.Time
	total  time.Duration
}

func (w *stopwatch) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.active == 0 {
		w.since = time.Now()
	}
	w.active++
}

func (w *stopwatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.active--; w.active == 0 {
		w.total += time.Since(w.since)
	}
}

// elapsed is the time so far; nobody is at work.
func (w *stopwatch) elapsed() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}
