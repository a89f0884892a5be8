// Package sampling turns logits and a random number into a token: the definition
// that the operation sample, the reference and the device kernels share.
//
// Read next: foundry/ir/interp, which gives the operation its meaning with it, and
// foundry/runtime, whose sessions sample with it on the host.
package sampling

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Settings say how a token is chosen from logits. The zero value is greedy
// choice. The filters apply in this order: repetition, temperature, top-k,
// top-p, min-p. Numbers count as rounded to f32, which is how devices hold them.
type Settings struct {
	Temperature float64 // the divisor of logits; 0: the largest logit, the lowest id of equals
	TopK        int     // the number of largest logits to keep; 0: all
	TopP        float64 // the probability that the fewest largest must reach together; 0 or 1: all
	MinP        float64 // the least probability to keep, as a part of the largest; 0: all
	Repetition  float64 // the penalty of tokens seen, a divisor of positive logits and a factor of negative ones; 0 or 1: off
	Seed        uint64
}

// Validate checks the ranges.
func (o Settings) Validate() error {
	for _, f := range []struct {
		name   string
		v, max float64
	}{
		{"temperature", o.Temperature, 1e6}, {"top-p", o.TopP, 1}, {"min-p", o.MinP, 1}, {"repetition penalty", o.Repetition, 1e6},
	} {
		if !(f.v >= 0 && f.v <= f.max) { // NaN fails too
			return fmt.Errorf("%s is %g, want 0 to %g", f.name, f.v, f.max)
		}
	}
	if o.TopK < 0 {
		return fmt.Errorf("top-k is %d, want 0 or more", o.TopK)
	}
	if o.Temperature > 0 && o.Temperature < leastTemperature {
		return fmt.Errorf("temperature is %g, want 0 or %g to 1e+06", o.Temperature, leastTemperature)
	}
	return nil
}

// leastTemperature keeps quotients of logits finite.
const leastTemperature = 1e-6

// f32 rounds as a device holds it.
func f32(x float64) float64 { return float64(float32(x)) }

// Greedy reports whether o asks for the largest logit as it stands.
func (o Settings) Greedy() bool {
	return o.Temperature == 0 && (o.Repetition == 0 || o.Repetition == 1)
}

// candidate is a token with its score and, later, its weight: the probability
// up to a common factor.
type candidate struct {
	id            int32
	score, weight float64
}

// Choose returns a token of logits [vocabulary], given the tokens seen so far
// and a random number u in [0, 1): in the order of ids, the first token at which
// the cumulative probability of those kept exceeds u. It is the reference that
// other samplers are measured against: scores are f32, sums float64.
func (o Settings) Choose(logits []float32, seen []int32, u float64) (int32, error) {
	kept := make([]candidate, len(logits))
	for i, v := range logits {
		kept[i] = candidate{id: int32(i), score: float64(v)}
	}
	if o.Repetition != 0 && o.Repetition != 1 {
		penalise(kept, seen, f32(o.Repetition))
	}
	best, err := largest(kept)
	if err != nil || o.Temperature == 0 {
		return best.id, err
	}
	for i := range kept {
		kept[i].weight = math.Exp((kept[i].score - best.score) / f32(o.Temperature))
	}
	kept = o.filter(kept)
	target := u * sum(kept) // below the sum, however it is rounded
	cumulative, at := kept[0].weight, 0
	for cumulative <= target {
		at++
		cumulative += kept[at].weight
	}
	return kept[at].id, nil
}

// filter keeps what top-k, top-p and min-p keep, in the order of ids.
func (o Settings) filter(kept []candidate) []candidate {
	topPOn := o.TopP > 0 && o.TopP < 1
	if o.TopK > 0 && o.TopK < len(kept) || topPOn {
		slices.SortFunc(kept, byScore)
		if o.TopK > 0 {
			kept = kept[:min(o.TopK, len(kept))]
		}
		if topPOn {
			kept = topP(kept, f32(o.TopP))
		}
		slices.SortFunc(kept, func(a, b candidate) int { return cmp.Compare(a.id, b.id) })
	}
	if o.MinP > 0 { // the largest weight is exp(0)
		kept = slices.DeleteFunc(kept, func(c candidate) bool { return c.weight < f32(o.MinP) })
	}
	return kept
}

func byScore(a, b candidate) int {
	return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.id, b.id))
}

func sum(cs []candidate) float64 {
	total := 0.0
	for _, c := range cs {
		total += c.weight
	}
	return total
}

// topP keeps of cs, sorted by score, the tokens before which the cumulative
// probability is below p; the first one always.
func topP(cs []candidate, p float64) []candidate {
	limit, cumulative := p*sum(cs), 0.0
	for i, c := range cs {
		if i > 0 && cumulative >= limit {
			return cs[:i]
		}
		cumulative += c.weight
	}
	return cs
}

// penalise weakens each token that was seen, once however often it was.
func penalise(cs []candidate, seen []int32, penalty float64) {
	done := make(map[int32]bool, len(seen))
	for _, id := range seen {
		if done[id] || id < 0 || int(id) >= len(cs) {
			continue
		}
		done[id] = true
		if s := &cs[id].score; *s > 0 {
			*s = f32(*s / penalty)
		} else {
			*s = f32(*s * penalty)
		}
	}
}

// ErrNotFinite is the error of logits that no token can be chosen from.
var ErrNotFinite = errors.New("no token can be chosen: the logits hold NaN or +Inf, or nothing else than -Inf")

// Finite is ErrNotFinite where no token can be chosen from logits.
func Finite(logits []float32) error {
	best := math.Inf(-1)
	for _, v := range logits {
		if v := float64(v); !(v < math.Inf(1)) { // NaN fails too
			return ErrNotFinite
		} else if v > best {
			best = v
		}
	}
	if math.IsInf(best, -1) {
		return ErrNotFinite
	}
	return nil
}

func largest(cs []candidate) (candidate, error) {
	best := candidate{id: -1, score: math.Inf(-1)}
	for _, c := range cs {
		if math.IsNaN(c.score) || math.IsInf(c.score, 1) {
			return candidate{}, ErrNotFinite
		}
		if c.score > best.score {
			best = c
		}
	}
	if best.id < 0 {
		return candidate{}, ErrNotFinite
	}
	return best, nil
}
