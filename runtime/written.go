package runtime

import (
	"fmt"
	"math"

	"foundry/lower/plan"
)

// cacheUse is a cache that an entry touches.
type cacheUse struct {
	buffer int
	writes bool
}

// cachesOf lists the caches that the entry touches.
func cachesOf(p *plan.Plan, e *plan.Entry) []cacheUse {
	var out []cacheUse
	at := map[int]int{}
	for i := range e.Steps {
		if e.Steps[i].Dispatch == nil {
			continue
		}
		for _, b := range e.Steps[i].Dispatch.Bind {
			if x := &p.Buffers[b.Buffer]; x.Class != plan.State || x.Role != plan.NoRole {
				continue
			}
			if _, seen := at[b.Buffer]; !seen {
				at[b.Buffer] = len(out)
				out = append(out, cacheUse{buffer: b.Buffer})
			}
			use := &out[at[b.Buffer]]
			use.writes = use.writes || b.Access != plan.Read
		}
	}
	return out
}

// toItsEnd is how far a cache counts as written that the host filled.
const toItsEnd = math.MaxInt

// AssumeWritten takes the caches as written to their ends: for measurements, whose
// times do not depend on what caches hold. Results mean nothing afterwards.
func (in *Instance) AssumeWritten() {
	for i := range in.written {
		in.written[i] = toItsEnd
	}
}

// begin refuses a run at position p where a cache holds fewer tokens. Until the run is
// known to be good, the caches hold what stands before p.
func (in *Instance) begin(w *walk, p int) error {
	for _, c := range w.caches {
		if have := in.written[c.buffer]; p > have {
			return fmt.Errorf("entry %s: position %d, but the caches hold %d tokens: run those before it first", w.entry.Name, p, have)
		}
	}
	in.wrote(w, p)
	return nil
}

// wrote notes that the caches which the walk writes hold n tokens, of one sequence:
// what stood behind them was of another.
func (in *Instance) wrote(w *walk, n int) {
	for _, c := range w.caches {
		if c.writes && in.written[c.buffer] != toItsEnd {
			in.written[c.buffer] = n
		}
	}
}
