package bench

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Interval is a number and where it lies with 95 % confidence.
type Interval struct {
	Mid  float64 `json:"mid"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Sure reports whether the number's sign is known: the interval does not hold zero.
func (i Interval) Sure() bool { return i.Low > 0 || i.High < 0 }

// resamples is how often a bootstrap draws.
const resamples = 2000

// interval cuts the drawn values to those between which 95 % lie: the percentile
// interval of Efron's bootstrap.
func interval(mid float64, drawn []float64) Interval {
	slices.Sort(drawn)
	n := len(drawn)
	return Interval{Mid: mid, Low: drawn[n*25/1000], High: drawn[n*975/1000-1]}
}

// difference is the difference of the medians of a and b with its interval. Samples of
// equal number were taken in turn, so they are drawn in pairs. The same samples give
// the same interval.
func difference(a, b []float64) Interval {
	r := rand.New(rand.NewPCG(uint64(len(a)), uint64(len(b))))
	drawnA, drawnB, found := make([]float64, len(a)), make([]float64, len(b)), make([]float64, resamples)
	for i := range found {
		for j := range drawnA {
			k := r.IntN(len(a))
			if drawnA[j] = a[k]; len(a) == len(b) {
				drawnB[j] = b[k]
			}
		}
		for j := range drawnB {
			if len(a) != len(b) {
				drawnB[j] = b[r.IntN(len(b))]
			}
		}
		found[i] = sortedMedian(drawnA) - sortedMedian(drawnB)
	}
	return interval(median(a)-median(b), found)
}

// fewestRuns are the fewest samples whose extremes hold the true median with 95 %
// confidence: five miss it on one side once in 16 times.
const fewestRuns = 6

// medianInterval is the median of sorted samples with the interval of order statistics
// that holds the true one with 95 % confidence, whatever their distribution; fewer than
// fewestRuns have none, and their extremes stand in its place. The chance that the
// true median lies below the k-th of n samples is that of fewer than k heads of n coins.
func medianInterval(sorted []float64) Interval {
	n := len(sorted)
	ways, _ := math.Lgamma(float64(n + 1))
	below, k := 0.0, 0
	for ; k < (n-1)/2; k++ {
		a, _ := math.Lgamma(float64(k + 1))
		b, _ := math.Lgamma(float64(n - k + 1))
		if below += math.Exp(ways - a - b - float64(n)*math.Ln2); below > 0.025 {
			break
		}
	}
	k = max(0, k-1)
	return Interval{Mid: (sorted[(n-1)/2] + sorted[n/2]) / 2, Low: sorted[k], High: sorted[n-1-k]}
}

// halfWidth is how far the interval reaches from its middle at most, as a share of it.
func (i Interval) halfWidth() float64 { return max(i.High-i.Mid, i.Mid-i.Low) / i.Mid }

// median is the middle of values.
func median(values []float64) float64 { return sortedMedian(slices.Clone(values)) }

// sortedMedian sorts values and returns their middle.
func sortedMedian(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// pool is values to draw from, with the place of each in their order: of values that are
// drawn by it, each time anew, the middle is counted, and nothing is sorted.
type pool struct {
	sorted []float64
	places []int // the index in sorted of each value
	times  []int // the draws of each of sorted
}

func newPool(values []float64) *pool {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(values[i], values[j]) })
	p := &pool{sorted: make([]float64, len(values)), places: make([]int, len(values)), times: make([]int, len(values))}
	for place, i := range order {
		p.sorted[place], p.places[i] = values[i], place
	}
	return p
}

// drawMedian is the median of as many values as there are, each drawn from all.
func (p *pool) drawMedian(r *rand.Rand) float64 {
	clear(p.times)
	for range p.places {
		p.times[p.places[r.IntN(len(p.places))]]++
	}
	n, below, at := len(p.places), p.times[0], 0
	for below <= (n-1)/2 {
		at++
		below += p.times[at]
	}
	low := p.sorted[at]
	for below <= n/2 {
		at++
		below += p.times[at]
	}
	return (low + p.sorted[at]) / 2
}
