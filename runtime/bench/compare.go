package bench

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Recording is what one process measured: samples in us, by row.
type Recording map[string][]float64

// ReadRecording reads what a process wrote with its samples as lines.
func ReadRecording(r io.Reader) (Recording, error) {
	lines := csv.NewReader(r)
	head, err := lines.Read()
	if err != nil {
		return nil, fmt.Errorf("no samples: %w", err)
	}
	at := map[string]int{}
	for i, name := range head {
		at[name] = i
	}
	keys := []string{"model", "device", "phase", "variant", "context", "prompt"}
	for _, name := range append(slices.Clone(keys), "us") {
		if _, ok := at[name]; !ok {
			return nil, fmt.Errorf("there is no column %q: these are no samples of a benchmark", name)
		}
	}
	out := Recording{}
	for {
		line, err := lines.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		key := make([]string, len(keys))
		for i, name := range keys {
			key[i] = line[at[name]]
		}
		row := strings.Join(key, " ")
		us, err := strconv.ParseFloat(line[at["us"]], 64)
		if err != nil || !(us > 0) || math.IsInf(us, 0) {
			return nil, fmt.Errorf("row %s: %q is no time in us", row, line[at["us"]])
		}
		out[row] = append(out[row], us)
	}
	if len(out) == 0 {
		return nil, errors.New("it holds no sample")
	}
	return out, nil
}

// Verdict is what a comparison says of a row.
type Verdict string

// The verdicts.
const (
	Slower     Verdict = "slower"
	Faster     Verdict = "faster"
	Same       Verdict = "same within 2 %"
	CannotTell Verdict = "cannot tell"
)

// What a comparison asks for.
const (
	LeastProcesses = 6    // of each side
	smallestEffect = 0.02 // of a time, below which a difference is none
	unsteady       = 0.1  // spread of six processes, above which they have no common level: the machine did something else
	falseCalls     = 0.05 // most comparisons of equal programs that call a row
)

// Compared is a row of two sides.
type Compared struct {
	Row     string   `json:"row"`
	A       float64  `json:"a_us"`   // mean over processes of their medians
	B       float64  `json:"b_us"`   //
	Change  Interval `json:"change"` // difference of B from A: 0.05 is 5 % more
	P       float64  `json:"p"`      // probability of a change as large by chance, corrected for the number of rows
	Spread  float64  `json:"spread"` // standard deviation of the processes of the side that spreads more, as a part of a time
	Verdict Verdict  `json:"verdict"`
}

// Compare compares what processes of two programs measured, at least LeastProcesses of
// each. Processes differ by more than the samples of one do, so a bootstrap draws
// processes, then samples of each; its distribution is that of the difference of the mean
// logarithms of medians, in units of its standard error (Efron and Tibshirani, An
// Introduction to the Bootstrap, chapter 12), which keeps its level with few processes.
// Holm's correction keeps it over all rows. The same recordings give the same result.
func Compare(a, b []Recording) ([]Compared, error) {
	if len(a) < LeastProcesses || len(b) < LeastProcesses {
		return nil, fmt.Errorf("%d and %d processes are too few to tell their spread: take at least %d of each side", len(a), len(b), LeastProcesses)
	}
	var rows []string
	for row := range a[0] {
		if slices.ContainsFunc(append(slices.Clone(a), b...), func(r Recording) bool { return r[row] == nil }) {
			continue
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, errors.New("no row was measured by every process")
	}
	slices.Sort(rows)
	out := make([]Compared, len(rows))
	for i, row := range rows {
		var sides [2][][]float64
		for j, side := range [2][]Recording{a, b} {
			for _, process := range side {
				sides[j] = append(sides[j], process[row])
			}
		}
		out[i] = compareRow(sides)
		out[i].Row = row
	}
	holm(out)
	for i := range out {
		out[i].judge(min(len(a), len(b)))
	}
	return out, nil
}

// side is one program's processes in one row: the logarithms of their medians.
type side []float64

func (s side) mean() float64 {
	sum := 0.0
	for _, v := range s {
		sum += v
	}
	return sum / float64(len(s))
}

// variance is of the mean.
func (s side) variance() float64 {
	mean, sum := s.mean(), 0.0
	for _, v := range s {
		sum += (v - mean) * (v - mean)
	}
	n := float64(len(s))
	return sum / (n - 1) / n
}

func compareRow(samples [2][][]float64) Compared {
	var sides, drawn [2]side
	var pools [2][]*pool
	for i, processes := range samples {
		drawn[i] = make(side, len(processes))
		for _, s := range processes {
			pools[i] = append(pools[i], newPool(s))
			sides[i] = append(sides[i], math.Log(median(s)))
		}
	}
	diff := sides[1].mean() - sides[0].mean()
	se := math.Sqrt(sides[0].variance() + sides[1].variance())
	r := rand.New(rand.NewPCG(uint64(len(samples[0])), uint64(len(samples[1]))))
	ts := make([]float64, 0, resamples)
	for range resamples {
		for i, processes := range pools {
			for j := range drawn[i] {
				drawn[i][j] = math.Log(processes[r.IntN(len(processes))].drawMedian(r))
			}
		}
		if own := math.Sqrt(drawn[0].variance() + drawn[1].variance()); own > 0 {
			ts = append(ts, (drawn[1].mean()-drawn[0].mean()-diff)/own)
		}
	}
	spread := max(math.Sqrt(sides[0].variance()*float64(len(sides[0]))), math.Sqrt(sides[1].variance()*float64(len(sides[1]))))
	c := Compared{Spread: spread, A: math.Exp(sides[0].mean()), B: math.Exp(sides[1].mean()), P: 1}
	change := math.Expm1(diff)
	c.Change = Interval{Mid: change, Low: change, High: change}
	if len(ts) == 0 || se == 0 { // every sample is the same
		if diff != 0 {
			c.P = 0
		}
		return c
	}
	slices.Sort(ts)
	c.Change.Low = math.Expm1(diff - se*ts[len(ts)*975/1000])
	c.Change.High = math.Expm1(diff - se*ts[len(ts)*25/1000])
	beyond := 1
	for _, t := range ts {
		if math.Abs(t) >= math.Abs(diff/se) {
			beyond++
		}
	}
	c.P = float64(beyond) / float64(len(ts)+1)
	return c
}

// holm corrects the rows' probabilities for their number (Holm 1979): the k-th smallest of
// n counts n-k+1 times, and none less than one before it.
func holm(rows []Compared) {
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(rows[i].P, rows[j].P) })
	least := 0.0
	for k, i := range order {
		least = max(least, min(1, rows[i].P*float64(len(rows)-k)))
		rows[i].P = least
	}
}

// judge sets the verdict of a row of so many processes, of the side with fewer. What six
// that spread so much leave open, more may settle: a mean is known better by the root of
// their number.
func (c *Compared) judge(processes int) {
	switch {
	case c.Spread > unsteady*math.Sqrt(float64(processes)/LeastProcesses):
		c.Verdict = CannotTell
	case c.P < falseCalls && c.Change.Mid >= smallestEffect:
		c.Verdict = Slower
	case c.P < falseCalls && c.Change.Mid <= -smallestEffect:
		c.Verdict = Faster
	case c.Change.Low > -smallestEffect && c.Change.High < smallestEffect:
		c.Verdict = Same
	default:
		c.Verdict = CannotTell
	}
}
