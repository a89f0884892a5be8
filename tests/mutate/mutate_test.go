package mutate_test

import (
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/tests/mutate"
)

// No choices leave a file as it is; others mostly change it, and a tree stays JSON.
func TestChoices(t *testing.T) {
	const text = "%1 = add %0, %0 : f32[4, 8]\nreturn y=%1"
	const tree = `{"a":[1,2.5,{"b":"x"}],"b":"y","c":{"a":true,"d":null}}`
	parsed, err := mutate.JSON([]byte(tree))
	require.NoError(t, err)
	require.Equal(t, text, mutate.Text(text, nil, mutate.From(nil)))
	require.Equal(t, tree, string(parsed.Text(mutate.From(nil))))
	texts, trees := map[string]bool{}, map[string]bool{}
	for n := range uint64(1000) {
		choices := binary.BigEndian.AppendUint64(nil, n*0x9E3779B97F4A7C15)
		texts[mutate.Text(text, []string{"mul"}, mutate.From(choices))] = true
		changed := parsed.Text(mutate.From(choices))
		require.True(t, json.Valid(changed), "%s", changed)
		trees[string(changed)] = true
	}
	require.Greater(t, len(texts), 100)
	require.Greater(t, len(trees), 100)
	require.Equal(t, tree, string(parsed.Text(mutate.From(nil))), "the tree is as it was")
	_, err = mutate.JSON([]byte(`{"a":`))
	require.Error(t, err)
}

// Two bytes stand for a choice of more than 256, none for one of nothing.
func TestBelow(t *testing.T) {
	c := mutate.From([]byte{1, 2, 9})
	require.Equal(t, 0, c.Below(1))
	require.Equal(t, 0x102, c.Below(1000))
	require.Equal(t, 9, c.Below(10))
	require.Equal(t, 0, c.Below(10))
}
