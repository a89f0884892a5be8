package qwen25_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
)

// A bias of a layer that has none is taken where it is zero, as tools for GPTQ write
// it, and refused where it is not.
func TestBiasesWithoutAPlace(t *testing.T) {
	s, err := checkpoint.Open(filepath.Join("..", "checkpoint", "testdata", "quantised", "gptq4-sym"))
	require.NoError(t, err)
	defer s.Close()
	raw, err := s.File("config.json")
	require.NoError(t, err)
	c, err := qwen25.Family.Parse(raw)
	require.NoError(t, err)
	p, err := checkpoint.Unpack(s, raw)
	require.NoError(t, err)
	_, has := p.Info("model.layers.0.mlp.up_proj.bias")
	require.True(t, has)
	require.NoError(t, decoder.Check(c, p))

	shapes := append(decoder.Weights(c), checkpoint.Shape{Name: "model.layers.0.mlp.up_proj.bias", Shape: []int64{256}})
	other, err := checkpoint.Synth("s", shapes, nil)
	require.NoError(t, err)
	require.EqualError(t, decoder.Check(c, other), `s: tensor "model.layers.0.mlp.up_proj.bias" is not zero; that part of a qwen2 model has no bias`)
}
