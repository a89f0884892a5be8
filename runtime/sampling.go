package runtime

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"foundry/ir/sampling"
)

// Sampling says how a token is chosen from logits. The zero value is greedy
// choice.
type Sampling = sampling.Settings

// Candidate is a token and its logit.
type Candidate struct {
	ID    int32   `json:"id"`
	Logit float32 `json:"logit"`
}

// Top returns the k largest logits, fewer if there are not as many, largest
// first, the lower id first of equals.
func Top(logits []float32, k int) ([]Candidate, error) {
	if k < 1 {
		return nil, fmt.Errorf("top %d of the logits, want 1 or more", k)
	}
	var top []Candidate
	for i, v := range logits {
		if math.IsNaN(float64(v)) {
			return nil, fmt.Errorf("the logit of token %d is NaN", i)
		}
		if len(top) == k && v <= top[k-1].Logit {
			continue
		}
		at := sort.Search(len(top), func(i int) bool { return top[i].Logit < v }) // equals have lower ids
		if len(top) == k {
			top = top[:k-1]
		}
		top = slices.Insert(top, at, Candidate{int32(i), v})
	}
	return top, nil
}
