package checkpoint

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"foundry/ir/dtype"

	"github.com/stretchr/testify/require"
)

func tensor(name string, fill byte, shape ...int64) Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return Tensor{name, dtype.BF16, shape, []byte(strings.Repeat(string(rune(fill)), int(2*n)))}
}

func folder(t testing.TB, files map[string]string, shards map[string][]Tensor) string {
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	for name, tensors := range shards {
		var file bytes.Buffer
		require.NoError(t, WriteSafetensors(&file, tensors))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), file.Bytes(), 0o644))
	}
	return dir
}

func TestSingleFileFolder(t *testing.T) {
	dir := folder(t, map[string]string{"config.json": "{}"}, map[string][]Tensor{"model.safetensors": {tensor("w", 'a', 2, 3)}})
	for _, path := range []string{dir, filepath.Join(dir, "model.safetensors")} {
		s, err := Open(path)
		require.NoError(t, err)
		require.Equal(t, path, s.Label())
		require.Equal(t, []string{"w"}, s.Names())
		b, err := s.File("config.json")
		require.NoError(t, err)
		require.Equal(t, "{}", string(b))
		_, err = s.File("tokenizer.json")
		require.ErrorIs(t, err, os.ErrNotExist)
		require.EqualError(t, err, dir+": there is no tokenizer.json: file does not exist")
		_, err = s.Read("v")
		require.EqualError(t, err, path+`: no tensor "v"`)
		require.NoError(t, s.Close())
		require.NoError(t, s.Close(), "closing twice is harmless")
	}
}

const twoShards = `{"metadata":{"total_size":20},"weight_map":{"model.a":"m-1.safetensors","model.b":"m-2.safetensors","model.c":"m-2.safetensors"}}`

func TestShardedFolder(t *testing.T) {
	dir := folder(t, map[string]string{indexFile: twoShards}, map[string][]Tensor{
		"m-1.safetensors": {tensor("model.a", 'a', 4)},
		"m-2.safetensors": {tensor("model.b", 'b', 1, 2), tensor("model.c", 'c', 3)},
	})
	s, err := Open(dir)
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, []string{"model.a", "model.b", "model.c"}, s.Names())
	for name, want := range map[string]string{"model.a": "aaaaaaaa", "model.b": "bbbb", "model.c": "cccccc"} {
		b, err := s.Read(name)
		require.NoError(t, err)
		require.Equal(t, want, string(b))
	}
	_, err = s.Read("model.d")
	require.ErrorContains(t, err, `no tensor "model.d"; did you mean "model.`)
	require.Len(t, s.(*store).files, 2, "what Close closes")
}

func TestBadFolders(t *testing.T) {
	first := []Tensor{tensor("model.a", 'a', 4)}
	second := []Tensor{tensor("model.b", 'b', 2), tensor("model.c", 'c', 3)}
	both := map[string][]Tensor{"m-1.safetensors": first, "m-2.safetensors": second}
	for _, c := range []struct {
		name   string
		index  string
		shards map[string][]Tensor
		err    string
	}{
		{"no JSON", "nonsense", both, "DIR/model.safetensors.index.json: not the JSON of a shard index: invalid character 'o' in literal null (expecting 'u')"},
		{"no map", "{}", both, "DIR/model.safetensors.index.json: weight_map is missing or empty"},
		{"path", `{"weight_map":{"a":"../m-1.safetensors"}}`, both, `DIR/model.safetensors.index.json: tensor "a": "../m-1.safetensors" is not the name of a file in this folder`},
		{"missing shard", twoShards, map[string][]Tensor{"m-1.safetensors": first}, `DIR: shard m-2.safetensors is missing; model.safetensors.index.json puts tensor "model.b" there`},
		{"missing tensor", twoShards, map[string][]Tensor{"m-1.safetensors": first, "m-2.safetensors": second[:1]}, `DIR: tensor "model.c" is not in m-2.safetensors, where model.safetensors.index.json puts it`},
		{"unlisted tensor", twoShards, map[string][]Tensor{"m-1.safetensors": append(first, tensor("x", 'x', 1)), "m-2.safetensors": second}, `DIR: tensor "x" is in m-1.safetensors, but model.safetensors.index.json does not put it there`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t, map[string]string{indexFile: c.index}, c.shards)
			_, err := Open(dir)
			require.EqualError(t, err, strings.ReplaceAll(c.err, "DIR", dir))
		})
	}
}

// Whatever an index says, no file outside of its folder is opened, and what is wrong is
// one line.
func FuzzShards(f *testing.F) {
	for _, index := range []string{
		twoShards, "nonsense", "{}", `{"weight_map":{"a":"../m-1.safetensors"}}`, `{"weight_map":{"a":"m-3.safetensors"}}`,
		`{"weight_map":{"model.a":"m-1.safetensors"}}`, `{"weight_map":{"model.a":"."}}`, `{"weight_map":{"model.a":1}}`,
	} {
		f.Add([]byte(index))
	}
	dir := folder(f, nil, map[string][]Tensor{
		"m-1.safetensors": {tensor("model.a", 'a', 4)},
		"m-2.safetensors": {tensor("model.b", 'b', 2), tensor("model.c", 'c', 3)},
	})
	f.Fuzz(func(t *testing.T, index []byte) {
		shardOf, err := parseIndex("f", index)
		for name, shard := range shardOf {
			if filepath.Dir(filepath.Join(dir, shard)) != dir {
				t.Fatalf("tensor %q is in %q", name, shard)
			}
		}
		if err == nil {
			var s Source
			if s, err = openShards(dir, shardOf); err == nil {
				if len(s.Names()) != len(shardOf) {
					t.Fatalf("%d tensors of %d", len(s.Names()), len(shardOf))
				}
				err = s.Close()
			}
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Fatalf("an error of several lines: %q", err)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	dir := folder(t, map[string]string{"x.txt": "x", "empty.safetensors": ""}, nil)
	for path, want := range map[string]string{
		dir + "/none":              "DIR/none: no such model file or folder",
		dir:                        "DIR: neither model.safetensors nor model.safetensors.index.json is in this folder",
		dir + "/x.txt":             "DIR/x.txt: not a checkpoint: want a folder with config.json, a .safetensors or a .gguf file",
		dir + "/empty.safetensors": "DIR/empty.safetensors: the file is empty",
	} {
		_, err := Open(path)
		require.EqualError(t, err, strings.ReplaceAll(want, "DIR", dir))
	}
}

func TestEmbeddedModel(t *testing.T) {
	s, err := KJV2M()
	require.NoError(t, err)
	defer s.Close()
	info, ok := s.Info("model.embed_tokens.weight")
	require.True(t, ok)
	require.Equal(t, Info{dtype.BF16, []int64{2048, 192}, 2 * 2048 * 192}, info)
	require.Len(t, s.Names(), 5*12+2)
	for _, name := range []string{"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"} {
		b, err := s.File(name)
		require.NoError(t, err)
		require.NotEmpty(t, b)
	}
	_, err = s.File("x")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestLoad(t *testing.T) {
	s, err := KJV2M()
	require.NoError(t, err)
	const name = "model.layers.0.self_attn.q_proj.weight"
	stored, err := s.Read(name)
	require.NoError(t, err)
	for _, want := range []dtype.Type{dtype.BF16, dtype.F16, dtype.F32, dtype.Q4_0} {
		var n Narrowing
		got, err := ReadAs(s, name, want, &n)
		require.NoError(t, err)
		ref := make([]byte, len(got))
		require.NoError(t, Convert(want, ref, dtype.BF16, stored, nil))
		require.Equal(t, ref, got)
	}
	require.EqualError(t, Load(s, name, dtype.F16, make([]byte, 3), nil), `kjv-2m: tensor "`+name+`": shape [192 192] of f16 needs 73728 bytes, not 3`)
	_, err = ReadAs(s, name, dtype.Q4_K, nil)
	require.EqualError(t, err, `kjv-2m: tensor "`+name+`": rows of shape [192 192] do not divide into q4_k blocks of 256 elements`)
	_, err = ReadAs(s, "model.norm.weigt", dtype.F16, nil)
	require.EqualError(t, err, `kjv-2m: no tensor "model.norm.weigt"; did you mean "model.norm.weight"?`)
	require.False(t, WholeBlocks(dtype.Q4_K, []int64{192, 192}))
	require.True(t, WholeBlocks(dtype.Q8_0, []int64{192, 192}))
}
