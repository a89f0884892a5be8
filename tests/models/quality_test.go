package models

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"foundry"
	"foundry/frontends/checkpoint"
	"foundry/ir/dtype"
	"foundry/runtime/eval"

	"github.com/stretchr/testify/require"
)

func measure(t *testing.T, positions int, weights ...dtype.Type) []eval.Quality {
	t.Helper()
	m, err := foundry.Open(checkpoint.KJV2MName, foundry.Hub{})
	require.NoError(t, err)
	defer m.Close()
	text, err := os.ReadFile("../testdata/genesis.txt")
	require.NoError(t, err)
	tokens, err := m.Tokenizer()
	require.NoError(t, err)
	ids, err := tokens.Encode(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(ids), 1000)
	if positions > 0 {
		ids = ids[:positions]
	}
	rows, err := eval.MeasureQuality(context.Background(), m, eval.QualityOptions{
		IDs: ids, Weights: weights, Start: foundry.StartOptions{Device: foundry.Ref},
	})
	require.NoError(t, err)
	require.Len(t, rows, len(weights))
	for _, q := range rows {
		require.Equal(t, len(ids), q.Positions)
	}
	return rows
}

// TestQuality holds q8_0 to its bound over the whole text, and the table in
// docs/quality.md to what is measured.
func TestQuality(t *testing.T) {
	t.Parallel()
	q := measure(t, 0, dtype.Q8_0)[0]
	require.LessOrEqual(t, q.KL, 1e-3)
	require.LessOrEqual(t, q.KLReverse, 1e-3)
	require.GreaterOrEqual(t, q.Top1, 0.97)

	raw, err := os.ReadFile("../../docs/quality.md")
	require.NoError(t, err)
	row := regexp.MustCompile(`\| q8_0 \| ([\d.]+) MB \| (\d+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \| ([\d.]+) % \|`).FindStringSubmatch(string(raw))
	require.NotNil(t, row, "docs/quality.md has no row of q8_0")
	have := []float64{float64(q.Bytes) / 1e6, float64(q.Positions), q.NMSE, q.KL, q.KLReverse, q.WorstKL, 100 * q.Top1}
	for i, text := range row[1:] {
		want, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		require.InEpsilon(t, want, have[i], 0.02, "docs/quality.md is stale: column %d; run foundry quality and put its table there", i+1)
	}
}

// Every format that can be made loses more the fewer bits it has, and none is
// broken: a wrong scale or a swapped half would lose nearly everything.
func TestQualityOfEveryFormat(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/quality.md")
	require.NoError(t, err)
	formats := []dtype.Type{dtype.F16, dtype.Q8_0, dtype.Q5_1, dtype.Q5_0, dtype.Q4_1, dtype.Q4_0}
	bytes := int64(1 << 62)
	for _, q := range measure(t, 128, formats...) {
		require.Less(t, q.Bytes, bytes)
		bytes = q.Bytes
		require.Less(t, q.NMSE, 0.02, q.Weights)
		require.Contains(t, string(raw), fmt.Sprintf("\n| %s | ", q.Weights))
	}
}
