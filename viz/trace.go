package viz

import (
	"encoding/json"
	"fmt"
	"io"

	"foundry/ir/sym"
	"foundry/lower/compile"
)

// Traced are runs of an entry, one after the other.
type Traced struct {
	Name     string // "default, decode"
	Compiled *compile.Compiled
	Entry    string
	Runs     []sym.Env
	Times    map[string]float64 // measured us of one dispatch by its kernel; nil: the cost model's
	Device   string             // the device on which Times were measured
}

// traceEvent is an event of the format that Chrome's tracing and Perfetto read; times are
// in us.
type traceEvent struct {
	Name    string         `json:"name"`
	Phase   string         `json:"ph"` // "X" of what takes time, "M" of names
	Process int            `json:"pid"`
	Thread  int            `json:"tid"`
	At      float64        `json:"ts"`
	Took    float64        `json:"dur,omitempty"`
	Args    map[string]any `json:"args"`
}

// The threads of a process, which is one of the list.
const (
	dispatchThread = iota + 1
	waveThread
	bufferThread
)

// WriteTrace writes a trace for Perfetto (ui.perfetto.dev) or chrome://tracing: of each of
// the list a process with its dispatches, waves and command buffers, to scale. Dispatches of
// a wave run beside each other; here they stand one after the other, each with its share.
func WriteTrace(w io.Writer, list []Traced) error {
	events := []traceEvent{}
	for i, t := range list {
		process := i + 1
		label := func(what string, thread int, name string) {
			events = append(events, traceEvent{Name: what, Phase: "M", Process: process, Thread: thread, Args: map[string]any{"name": name}})
		}
		times := fmt.Sprintf("modelled on %s, uncalibrated", t.Compiled.Plan.Options.Target)
		if t.Times != nil {
			times = "measured on " + t.Device
		}
		label("process_name", 0, t.Name+", "+times)
		label("thread_name", dispatchThread, "dispatches")
		label("thread_name", waveThread, "waves")
		label("thread_name", bufferThread, "command buffers")
		at := 0.0
		for _, env := range t.Runs {
			run, end, err := t.run(process, at, env)
			if err != nil {
				return fmt.Errorf("%s: %w", t.Name, err)
			}
			events, at = append(events, run...), end
		}
	}
	return json.NewEncoder(w).Encode(struct {
		Events []traceEvent `json:"traceEvents"`
		Unit   string       `json:"displayTimeUnit"`
	}{events, "ns"})
}

// run is the events of one run, which begins at a time, and its end.
func (t *Traced) run(process int, at float64, env sym.Env) ([]traceEvent, float64, error) {
	g, err := t.Compiled.Entry(t.Entry)
	if err != nil {
		return nil, 0, err
	}
	e := &pageEntry{}
	if err := e.dispatches(t.Compiled, g, env, t.Times); err != nil {
		return nil, 0, err
	}
	var events []traceEvent
	open := map[int]int{} // thread to its last event
	extend := func(thread int, name string, took float64) {
		if i, ok := open[thread]; ok && events[i].Name == name {
			events[i].Took += took
			return
		}
		open[thread] = len(events)
		events = append(events, traceEvent{Name: name, Phase: "X", Process: process, Thread: thread, At: at, Took: took, Args: map[string]any{"at": e.At}})
	}
	for _, d := range e.Dispatches {
		extend(bufferThread, fmt.Sprintf("command buffer %d", d.Buffer+1), d.Us)
		extend(waveThread, fmt.Sprintf("wave %d", d.Wave), d.Us)
		k := &t.Compiled.Plan.Kernels[d.Kernel]
		ops := make([]string, len(d.Nodes))
		for i, n := range d.Nodes {
			ops[i] = n.Op
		}
		events = append(events, traceEvent{Name: d.Label, Phase: "X", Process: process, Thread: dispatchThread, At: at, Took: d.Us, Args: map[string]any{
			"kernel": k.Name, "grid": d.Grid, "threads": k.Threads[0] * k.Threads[1] * k.Threads[2], "bytes moved": d.Bytes, "flops": d.Flops, "operations": ops,
		}})
		at += d.Us
	}
	return events, at, nil
}
