package checkpoint

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
)

// A folder of another program's weights is named as what it is, however the folder is called.
func TestForeignFoldersAreNamed(t *testing.T) {
	for _, folder := range []string{"plain", "a[b]", "c?", "d*", `e\f`} {
		for _, f := range foreign {
			dir := filepath.Join(t.TempDir(), folder)
			require.NoError(t, os.Mkdir(dir, 0o755))
			require.EqualError(t, withoutTensors(dir), dir+": neither model.safetensors nor model.safetensors.index.json is in this folder")
			name := strings.ReplaceAll(f.name, "*", "-1")
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
			require.EqualError(t, withoutTensors(dir), dir+": "+name+" is "+f.kind+", which foundry does not read from a folder; "+f.way)
		}
	}
}

func TestWhatSynthSays(t *testing.T) {
	_, err := Synth("m", []Shape{{"a", nil}}, nil)
	require.EqualError(t, err, `m: tensor "a": a scalar has no synthetic form`)
	_, err = Synth("m", []Shape{{"a", []int64{2}}, {"a", []int64{2}}}, nil)
	require.EqualError(t, err, `m: tensor "a" is listed twice`)
	s, err := Synth("m", []Shape{{"a", []int64{2}}}, nil)
	require.NoError(t, err)
	_, err = s.File("config.json")
	require.EqualError(t, err, missingFile("m", "config.json").Error())
	require.Regexp(t, "^m.*config.json", err.Error())
}

func TestNamesOfTheHub(t *testing.T) {
	for _, name := range []string{"a/b..c", "a..b/c", "a", "a/", "/b", "a/b/c", "../b", "a/.b"} {
		_, err := Hub{Cache: t.TempDir(), Endpoint: "http://127.0.0.1:1"}.Fetch(name)
		require.EqualError(t, err, "hf:"+name+": a model of the hub is named owner/name")
	}
}

// Ids of several processors stand around a text, those of a later one outside.
func TestIDsAroundATextInGGUF(t *testing.T) {
	one := func(before, behind int) string {
		text, err := json.Marshal(map[string]any{"type": "TemplateProcessing", "special_tokens": map[string]any{"b": map[string]any{"ids": []int{before}}, "e": map[string]any{"ids": []int{behind}}},
			"single": []any{map[string]any{"SpecialToken": map[string]any{"id": "b"}}, map[string]any{"Sequence": map[string]any{"id": "A"}}, map[string]any{"SpecialToken": map[string]any{"id": "e"}}}})
		require.NoError(t, err)
		return string(text)
	}
	var p postProcessorJSON
	require.NoError(t, json.Unmarshal([]byte(`{"type": "Sequence", "processors": [`+one(1, 2)+`, {"type": "ByteLevel"}, `+one(3, 4)+`]}`), &p))
	before, behind, err := p.around()
	require.NoError(t, err)
	require.Equal(t, []int{3, 1}, before)
	require.Equal(t, []int{2, 4}, behind)
}

// What is in the type that is wanted is copied.
func TestConvertCopies(t *testing.T) {
	src := []byte{1, 2, 3, 4, 5, 6}
	dst := make([]byte, len(src))
	require.NoError(t, Convert(dtype.F16, dst, dtype.F16, src, nil))
	require.Equal(t, []byte{1, 2, 3, 4, 5, 6}, dst)
	// To the byte: also what no encoder makes, and what cannot be made.
	for _, d := range []dtype.Type{dtype.I32, dtype.F16, dtype.BF16, dtype.F32, dtype.Q8_0, dtype.Q4_K, dtype.Q2_K} {
		elements, size := d.Block()
		src := make([]byte, 8*size)
		for i := range src {
			src[i] = byte(7*i + 1)
		}
		src[0], src[1] = 1, 0x7c // f16: a NaN that signals
		dst := make([]byte, len(src))
		var n Narrowing
		require.NoError(t, Convert(d, dst, d, src, &n), d)
		require.Equal(t, src, dst, d)
		require.EqualValues(t, 8*elements, n.Values, d)
	}
}

func TestFilesThatTheEmbeddedModelLacks(t *testing.T) {
	s, err := KJV2M()
	require.NoError(t, err)
	_, err = s.File("none.json")
	require.EqualError(t, err, missingFile(KJV2MName, "none.json").Error())
}
