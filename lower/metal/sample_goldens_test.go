package metal_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/sampling"
)

// sampleGoldens are probabilities that Hugging Face's logits processors give;
// testdata/sampling/goldens.py wrote them.
type sampleGoldens struct {
	Rows []struct {
		Logits []float32
		Seen   []int32
	}
	Cases []struct {
		Row         int
		Temperature *float64
		TopK        int     `json:"top_k"`
		TopP        float64 `json:"top_p"`
		MinP        float64 `json:"min_p"`
		Repetition  float64
		Kept        [][2]float64 // id and probability
	}
}

// TestSampleIsPublished holds the reference and the kernels to the published
// processors: for a random number close to either end of each token's share of
// [0, 1), that token is chosen; the kernels are asked at one end.
func TestSampleIsPublished(t *testing.T) {
	data, err := os.ReadFile("testdata/sampling/goldens.json")
	require.NoError(t, err)
	var goldens sampleGoldens
	require.NoError(t, json.Unmarshal(data, &goldens))
	require.Len(t, goldens.Cases, 66)
	rig := newSampleRig(t, len(goldens.Rows[0].Logits), false)
	for _, c := range goldens.Cases {
		row := goldens.Rows[c.Row]
		how := sampling.Settings{Temperature: 1, TopK: c.TopK, TopP: c.TopP, MinP: c.MinP, Repetition: c.Repetition}
		if c.Temperature != nil {
			how.Temperature = *c.Temperature
		}
		rig.logits(t, row.Logits)
		below, checked := 0.0, 0
		for _, kept := range c.Kept {
			id, p := int32(kept[0]), kept[1]
			for _, u := range []float64{below + 1e-5, below + p - 1e-5} {
				if p < 4e-5 {
					break // its share is narrower than the margins
				}
				want, err := how.Choose(row.Logits, row.Seen, u)
				require.NoError(t, err)
				require.Equal(t, id, want, "reference: row %d %+v at %v", c.Row, how, u)
				if u > below+p/2 {
					continue
				}
				require.Equal(t, id, rig.choose(t, how, row.Seen, u), "kernel: row %d %+v at %v", c.Row, how, u)
				checked++
			}
			below += p
		}
		require.NotZero(t, checked)
		require.InDelta(t, 1, below, 1e-12)
	}
}
