package model

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
)

func TestEndTokens(t *testing.T) {
	m, err := Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	ids, err := m.EndTokens()
	require.NoError(t, err)
	require.Equal(t, []int32{2045}, ids)
	for text, want := range map[string][]int32{`{}`: nil, `{"eos_token_id":null}`: nil, `{"eos_token_id":7}`: {7}, `{"eos_token_id":[7,8]}`: {7, 8}} {
		ids, err := endTokens([]byte(text))
		require.NoError(t, err)
		require.Equal(t, want, ids)
	}
	_, err = endTokens([]byte(`{"eos_token_id":"x"}`))
	require.ErrorContains(t, err, `eos_token_id is "x", want an id or a list of ids`)
	_, err = endTokens([]byte("{\"eos_token_id\":[\n\"x\"]}"))
	require.ErrorContains(t, err, `eos_token_id is [\n"x"], want an id or a list of ids`)
	_, err = parseConfig([]byte(`{"model_type":"two\nlines"}`))
	require.ErrorContains(t, err, `this is a two\nlines model; foundry compiles`)
}

// A file beside the weights is read once: who runs a stranger's kernels may not open it again.
func TestSmallFilesAreReadOnce(t *testing.T) {
	m, err := Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	want, err := m.file("config.json")
	require.NoError(t, err)
	_, missing := m.file("nowhere.json")
	require.ErrorIs(t, missing, fs.ErrNotExist)
	source := m.source
	m.source = nil
	again, err := m.file("config.json")
	require.NoError(t, err)
	require.Equal(t, want, again)
	_, err = m.file("nowhere.json")
	require.Equal(t, missing, err)
	m.source = source
}
