package checkpoint

import (
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/tests/mutate"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

// describe is what a source has: its tensors, and the files that are made of it.
func describe(s Source, err error) string {
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, name := range []string{"generation_config.json", "config.json", "tokenizer_config.json", "tokenizer.json"} {
		text, err := s.File(name)
		if err != nil {
			fmt.Fprintf(&b, "%v; ", err)
			continue
		}
		fmt.Fprintf(&b, "%s; ", text)
	}
	for _, name := range slices.Sorted(slices.Values(s.Names())) {
		info, _ := s.Info(name)
		data, err := s.Read(name)
		fmt.Fprintf(&b, "%s %s%v %d %08x %v; ", name, info.DType, info.Shape, info.Bytes, crc32.ChecksumIEEE(data), err)
	}
	return b.String()
}

// What becomes of GGUF files of which a few entries are others is kept: what they hold, or
// the error.
func TestNearlyGGUF(t *testing.T) {
	files := nearlyGGUF(t)
	have := mutate.Outcomes(800, func(i int, c *mutate.Choices) string {
		f, err := parseGGUF(files[i%len(files)].changed(c))
		if err != nil {
			return err.Error()
		}
		s, err := f.model("f")
		if err != nil {
			return err.Error()
		}
		return describe(s, nil)
	})
	require.NoError(t, mutate.Keep("testdata/nearly-gguf.txt", have, *update))
}

// The same of the headers of safetensors files.
func TestNearlySafetensors(t *testing.T) {
	tree, err := mutate.JSON([]byte(`{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b.weight":{"dtype":"BF16","shape":[5],"data_offsets":[24,34]},
		"c":{"dtype":"I32","shape":[],"data_offsets":[34,38]},"d":{"dtype":"U32","shape":[0,4],"data_offsets":[38,38]},"e":{"dtype":"F16","shape":[1,1,3],"data_offsets":[38,44]}}`))
	require.NoError(t, err)
	have := mutate.Outcomes(300, func(i int, c *mutate.Choices) string {
		tensors, err := parseSafetensors("f", file(string(tree.Text(c)), 44))
		if err != nil {
			return err.Error()
		}
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(tensors)) {
			fmt.Fprintf(&b, "%s %s%v %d; ", name, tensors[name].DType, tensors[name].Shape, len(tensors[name].data))
		}
		return b.String()
	})
	require.NoError(t, mutate.Keep("testdata/nearly-safetensors.txt", have, *update))
}

// The same of the config.json of quantised checkpoints.
func TestNearlyQuantised(t *testing.T) {
	type quantised struct {
		source Source
		config *mutate.Tree
	}
	var all []quantised
	for _, dir := range []string{"awq", "gptq4-v2", "gptq8", "gptq4-sym", "mlx-mixed"} {
		s, config := edited(t, dir, nil, nil)
		tree, err := mutate.JSON(config)
		require.NoError(t, err)
		all = append(all, quantised{s, tree})
	}
	have := mutate.Outcomes(300, func(i int, c *mutate.Choices) string {
		q := all[i%len(all)]
		s, err := Unpack(q.source, q.config.Text(c))
		if err != nil {
			return err.Error()
		}
		var b strings.Builder
		for _, name := range slices.Sorted(slices.Values(s.Names())) {
			info, _ := s.Info(name)
			data, err := s.Read(name)
			fmt.Fprintf(&b, "%s %s%v %08x %v; ", name, info.DType, info.Shape, crc32.ChecksumIEEE(data), err)
		}
		return b.String()
	})
	require.NoError(t, mutate.Keep("testdata/nearly-quantised.txt", have, *update))
}
