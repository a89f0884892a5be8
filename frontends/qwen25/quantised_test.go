package qwen25_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/qwen25"
	"foundry/ir"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/ir/sym"
)

const quantised = "../checkpoint/testdata/quantised"

// Models that others have quantised and run give the logits that they found.
func TestQuantisedFolders(t *testing.T) {
	folders, err := filepath.Glob(quantised + "/*/config.json")
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	for _, config := range folders {
		dir := filepath.Dir(config)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			s := openQuantised(t, dir)
			want, err := checkpoint.Open(filepath.Join(dir, "logits.safetensors"))
			require.NoError(t, err)
			defer want.Close()
			ids, err := want.Read("ids")
			require.NoError(t, err)
			logits, err := checkpoint.ReadAs(want, "logits", dtype.F32, nil)
			require.NoError(t, err)
			info, _ := want.Info("logits")
			got := runLogits(t, s, interp.Stored(dtype.I32, ids, len(ids)/4))
			require.Len(t, got.F32, int(info.Elements()))
			d := interp.Compare(got.Float64s(), interp.Stored(dtype.F32, logits, int(info.Shape[0]), int(info.Shape[1])).Float64s())
			t.Log(d)
			require.LessOrEqual(t, d.NMSE, 1e-9)
		})
	}
}

// openQuantised opens a folder whose matrices are quantised, as a model is opened.
func openQuantised(t *testing.T, dir string) checkpoint.Source {
	s, err := checkpoint.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	raw, err := s.File("config.json")
	require.NoError(t, err)
	c, err := qwen25.Parse(raw)
	require.NoError(t, err)
	s, err = checkpoint.Unpack(s, raw)
	require.NoError(t, err)
	require.NoError(t, qwen25.Check(c, s))
	return s
}

func runLogits(t *testing.T, s checkpoint.Source, ids interp.Tensor) interp.Tensor {
	raw, err := s.File("config.json")
	require.NoError(t, err)
	c, err := qwen25.Parse(raw)
	require.NoError(t, err)
	g, err := qwen25.Build(c, qwen25.BuildOptions{
		Context: ids.Len(), Chunk: ids.Len(), Weights: dtype.F32, Cache: dtype.F32, AllLogits: true,
		WeightType: func(name string) dtype.Type {
			if info, _ := s.Info(name); info.DType.Quantised() {
				return info.DType
			}
			return dtype.F32
		},
	})
	require.NoError(t, err)
	p, err := interp.New(g, func(name string, typ ir.Type) (interp.Tensor, error) {
		b, err := checkpoint.ReadAs(s, name, typ.DType, nil)
		return interp.Stored(typ.DType, b, typ.Shape.Eval(sym.Env{})...), err
	}, interp.Float32)
	require.NoError(t, err)
	out, err := p.Run(context.Background(), interp.Run{Env: sym.Env{T: int64(ids.Len())}, State: p.NewState(), Inputs: map[string]interp.Tensor{"ids": ids}})
	require.NoError(t, err)
	return out["logits"]
}
