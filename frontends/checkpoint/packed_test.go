package checkpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
)

// edited is a folder of testdata/quantised with its configuration and its tensors
// changed, in memory.
func edited(t testing.TB, dir string, config func(string) string, tensors func(map[string]stored)) (Source, []byte) {
	t.Helper()
	dir = filepath.Join("testdata/quantised", dir)
	raw, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	require.NoError(t, err)
	parts, err := parseSafetensors("f", raw)
	require.NoError(t, err)
	c, err := os.ReadFile(filepath.Join(dir, "config.json"))
	require.NoError(t, err)
	if tensors != nil {
		tensors(parts)
	}
	if config != nil {
		after := config(string(c))
		require.NotEqual(t, string(c), after)
		c = []byte(after)
	}
	return &store{label: "f", tensors: parts, file: folderFile(dir)}, c
}

// What is not as it should be is an error that names it; the same one in each run.
func TestUnpackRefuses(t *testing.T) {
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	without := func(names ...string) func(map[string]stored) {
		return func(m map[string]stored) {
			for _, n := range names {
				delete(m, n)
			}
		}
	}
	reshaped := func(name string, shape ...int64) func(map[string]stored) {
		return func(m map[string]stored) {
			x := m[name]
			x.Shape = shape
			m[name] = x
		}
	}
	const down = "model.layers.0.mlp.down_proj"
	for want, c := range map[string]struct {
		dir     string
		config  func(string) string
		tensors func(map[string]stored)
	}{
		`its weights are quantised by "bitsandbytes", which is not supported (mlx, gptq and awq are)`: {"awq", replace(`"awq"`, `"bitsandbytes"`), nil},
		`quantization_config has no quant_method, and is none of MLX`: {"awq", func(s string) string {
			return strings.NewReplacer(`"quant_method": "awq"`, `"quant_method": ""`, `"bits": 4`, `"bits": 0`).Replace(s)
		}, nil},
		`config.json: quantization has the mode "mxfp4", which is not supported (affine is)`: {"mlx-mixed", replace(`"affine"`, `"mxfp4"`), nil},
		`the version "gemv" is not supported (gemm is)`:                                      {"awq", replace(`"gemm"`, `"gemv"`), nil},
		`AWQ of 8 bits is not supported (4 are)`:                                             {"awq", replace(`"bits": 4`, `"bits": 8`), nil},
		`AWQ without zero points is not supported`:                                           {"awq", replace(`"zero_point": true`, `"zero_point": false`), nil},
		`GPTQ of 3 bits is not supported (4 and 8 are)`:                                      {"gptq8", replace(`"bits": 8`, `"bits": 3`), nil},
		`the checkpoint_format "marlin" is not supported (gptq and gptq_v2 are)`:             {"gptq8", replace(`"gptq"`+"\n", `"marlin"`+"\n"), nil},
		`pack_dtype "int64" is not supported (int32 is)`:                                     {"gptq8", replace(`"bits"`, `"pack_dtype": "int64", "bits"`), nil},
		`dynamic, settings by layer, is not supported`:                                       {"gptq8", replace(`"bits"`, `"dynamic": {"-:x": {}}, "bits"`), nil},
		`"model.layers.0.mlp.down_proj.weight" is quantised to 8 bits in groups of -1 with f16 scales, which is not supported`: {
			"gptq8", replace(`"group_size": 64`, `"group_size": -1`), nil},
		`tensor "model.layers.0.mlp.down_proj.g_idx" puts column 1 in group 7, not in 0: columns sorted by activation (desc_act true) are not supported`: {
			"gptq8", nil, func(m map[string]stored) {
				x := m[down+".g_idx"]
				x.data = bytes.Clone(x.data)
				binary.LittleEndian.PutUint32(x.data[4:], 7)
				m[down+".g_idx"] = x
			}},
		`tensor "model.layers.0.mlp.down_proj.g_idx" is missing: desc_act is true`:                                    {"gptq4-v2", replace(`"desc_act": false`, `"desc_act": true`), nil},
		`tensor "model.layers.0.mlp.down_proj.qzeros" is missing`:                                                     {"gptq8", nil, without(down + ".qzeros")},
		`tensor "model.layers.0.mlp.down_proj.scales" is missing`:                                                     {"awq", nil, without(down + ".scales")},
		`tensor "model.layers.0.mlp.down_proj.scales" has shape [64 2], the quantisation wants [2 64]`:                {"awq", nil, reshaped(down+".scales", 64, 2)},
		`tensor "model.layers.0.mlp.down_proj.qweight" has shape [1024], which is no quantised matrix`:                {"awq", nil, reshaped(down+".qweight", 1024)},
		`tensor "model.layers.0.mlp.down_proj.biases" is missing`:                                                     {"mlx-mixed", nil, without(down + ".biases")},
		`tensor "model.layers.0.mlp.down_proj.scales" is missing: "model.layers.0.mlp.down_proj.weight" is quantised`: {"mlx-mixed", nil, without(down + ".scales")},
		`tensor "lm_head.weight" has shape [96 10], the quantisation wants [96 8]`:                                    {"mlx-mixed", replace(`"bits": 5`, `"bits": 4`), nil},
		`"lm_head.weight" is quantised to 7 bits in groups of 64 with f16 scales, which is not supported`:             {"mlx-mixed", replace(`"bits": 5`, `"bits": 7`), nil},
		`tensor "model.layers.0.mlp.down_proj.weight" is f32, the quantisation wants i32`:                             {"mlx-mixed", nil, func(m map[string]stored) { x := m[down+".weight"]; x.DType = dtype.F32; m[down+".weight"] = x }},
		`config.json: quantization of lm_head is not readable: a string cannot be its bits`:                           {"mlx-mixed", replace(`"bits": 5`, `"bits": "five"`), nil},
	} {
		s, config := edited(t, c.dir, c.config, c.tensors)
		for range 3 {
			_, err := Unpack(s, config)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "\n")
		}
	}
}

// Matrices take the place of their parts.
func TestUnpackHidesParts(t *testing.T) {
	s, config := edited(t, "gptq4-sym", nil, nil)
	p, err := Unpack(s, config)
	require.NoError(t, err)
	for _, name := range p.Names() {
		require.NotRegexp(t, `\.(qweight|qzeros|scales|g_idx)$`, name)
		info, ok := p.Info(name)
		require.True(t, ok)
		b, err := p.Read(name)
		require.NoError(t, err)
		require.Len(t, b, int(info.Bytes))
	}
	_, ok := p.Info("model.layers.0.mlp.up_proj.qweight")
	require.False(t, ok)
	_, err = p.Read("model.layers.0.mlp.up_proj.qweight")
	require.ErrorContains(t, err, `no tensor "model.layers.0.mlp.up_proj.qweight"`)
	plain, err := KJV2M()
	require.NoError(t, err)
	same, err := Unpack(plain, []byte(`{"quantization_config": null}`))
	require.NoError(t, err)
	require.Same(t, plain, same)
}

// Whatever the configuration says of the tensors, matrices have the bytes that their
// type and shape say, or there is an error of one line.
func FuzzUnpack(f *testing.F) {
	var sources []Source
	for i, dir := range []string{"awq", "gptq4-v2", "gptq8", "mlx-mixed"} {
		s, config := edited(f, dir, nil, nil)
		sources = append(sources, s)
		f.Add(i, config)
		f.Add(i, []byte(fmt.Sprintf(`{"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": %d}}`, 32*i)))
	}
	f.Fuzz(func(t *testing.T, i int, config []byte) {
		p, err := Unpack(sources[uint(i)%uint(len(sources))], config)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Fatalf("an error of several lines: %q", err)
			}
			return
		}
		for _, name := range p.Names() {
			info, _ := p.Info(name)
			if b, err := p.Read(name); err != nil || int64(len(b)) != info.Bytes {
				t.Fatalf("tensor %q: %d bytes, %v", name, len(b), err)
			}
		}
	})
}
