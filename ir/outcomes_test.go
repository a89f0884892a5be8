package ir_test

import (
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir"
	"foundry/ir/irgen"
	"foundry/tests/mutate"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

// What Parse says of texts of random graphs of which a few nodes and words are others is
// kept; of what it takes, the sum of the text that it prints.
func TestNearlyGraphs(t *testing.T) {
	words := wordsOfGraphs()
	var graphs []*ir.Graph
	for seed := range uint64(40) {
		g := irgen.Graph(seed)
		if seed%2 == 0 {
			outlineSome(g, rand.New(rand.NewPCG(seed, 7)))
		}
		if len(g.Nodes()) < 40 {
			graphs = append(graphs, g)
		}
	}
	have := mutate.Outcomes(600, func(i int, c *mutate.Choices) string {
		g := graphs[i%len(graphs)]
		if i%3 == 0 {
			g = nearly(g, c)
		}
		parsed, err := ir.Parse("g.fir", mutate.Text(g.String(), words, c))
		if err != nil {
			return err.Error()
		}
		text := parsed.String()
		return fmt.Sprintf("%d nodes, %08x", len(parsed.Nodes()), crc32.ChecksumIEEE([]byte(text)))
	})
	require.NoError(t, mutate.Keep("testdata/nearly.txt", have, *update))
}
