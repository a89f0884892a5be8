package tokenizer

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// Ids of several processors stand around a text, those of a later one outside.
func TestIDsAroundAText(t *testing.T) {
	one := func(before, behind string) string {
		return `{"type": "TemplateProcessing", "special_tokens": {"b": {"ids": [` + before + `]}, "e": {"ids": [` + behind + `]}},
			"single": [{"SpecialToken": {"id": "b"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "e"}}]}`
	}
	var p postProcessor
	require.NoError(t, json.Unmarshal([]byte(`{"type": "Sequence", "processors": [`+one("1, 5", "2")+`, {"type": "ByteLevel"}, `+one("3", "4, 6")+`]}`), &p))
	prefix, suffix, err := p.endTokens()
	require.NoError(t, err)
	require.Equal(t, []int32{3, 1, 5}, prefix)
	require.Equal(t, []int32{2, 4, 6}, suffix)
}

// A merge is two words with one space between.
func TestLinesOfMerges(t *testing.T) {
	merges, err := readMerges("#version: 0.2\na b\r\n\nab c\n")
	require.NoError(t, err)
	require.Equal(t, [][2]string{{"a", "b"}, {"ab", "c"}}, merges)
	for text, want := range map[string]string{
		"a b\na": "line 2 is not two tokens with a space between", "a ": "line 1 is not two tokens with a space between", " b": "line 1 is not two tokens with a space between",
		"\n\na b c": "line 3 is not two tokens with a space between", "a  b": "line 1 is not two tokens with a space between", "a b\n#version": "line 2 is not two tokens with a space between",
	} {
		_, err := readMerges(text)
		require.EqualError(t, err, want, text)
	}
}
