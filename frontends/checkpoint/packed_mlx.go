package checkpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"foundry/ir/dtype"
)

// mlx is a folder of MLX: a layer's weight holds the levels of a row as one bit
// stream in 32-bit words, scales and biases one number for each group of it.
type mlx struct {
	settings mlxSettings
	layers   map[string]mlxSettings // settings of layers that differ from it
}

type mlxSettings struct {
	Group int    `json:"group_size"`
	Bits  int    `json:"bits"`
	Mode  string `json:"mode"`
}

// parseMLX reads the object under key: settings, and beside them an object, or a
// boolean, for every layer that differs.
func parseMLX(key string, raw []byte) (scheme, error) {
	out := &mlx{layers: map[string]mlxSettings{}}
	read := func(where string, raw []byte, s *mlxSettings) error {
		if err := readSettings(where, raw, s); err != nil {
			return err
		}
		if s.Mode != "" && s.Mode != "affine" {
			return fmt.Errorf("config.json: %s has the mode %q, which is not supported (affine is); convert the model anew with --q-mode affine", where, s.Mode)
		}
		return nil
	}
	if err := read(key, raw, &out.settings); err != nil {
		return nil, err
	}
	if out.settings.Bits == 0 || out.settings.Group == 0 {
		return nil, fmt.Errorf("config.json: %s has no quant_method, and is none of MLX, which gives bits and group_size", key)
	}
	var entries map[string]json.RawMessage
	if err := readSettings(key, raw, &entries); err != nil {
		return nil, err
	}
	for _, layer := range slices.Sorted(maps.Keys(entries)) {
		raw := entries[layer]
		if !bytes.HasPrefix(raw, []byte("{")) {
			continue // a setting, or whether the layer is quantised: its tensors tell
		}
		s := out.settings
		if err := read(key+" of "+layer, raw, &s); err != nil {
			return nil, err
		}
		out.layers[layer] = s
	}
	return out, nil
}

func (m *mlx) unpack(p *packed) error {
	if err := p.eachSuffix(".scales", func(layer string) error { return m.layer(p, layer) }); err != nil {
		return err
	}
	return p.eachSuffix(".weight", func(layer string) error {
		if info, _ := p.Source.Info(layer + ".weight"); info.DType == dtype.I32 && !p.parts[layer+".scales"] {
			return fmt.Errorf("tensor %q is missing: %q is quantised", layer+".scales", layer+".weight")
		}
		return nil
	})
}

func (m *mlx) layer(p *packed, layer string) error {
	s, differs := m.layers[layer]
	if !differs {
		s = m.settings
	}
	weight, scales, biases := layer+".weight", layer+".scales", layer+".biases"
	t, groups, err := p.matrixPart(scales)
	if err != nil {
		return err
	}
	a := dtype.Affine{Bits: s.Bits, Group: s.Group, Scales: t}
	rows, cols := groups[0], groups[1]*int64(s.Group)
	parts := []wantedPart{
		{weight, wordTypes, []int64{rows, cols * int64(s.Bits) / 32}},
		{scales, scaleTypes, groups[:]},
		{biases, []dtype.Type{t}, groups[:]},
	}
	if _, ok := a.Type(); ok { // otherwise add says what is wrong
		if _, err := p.check(parts...); err != nil {
			return err
		}
	}
	return p.add(weight, a, rows, cols, func(dst []byte) error {
		from, err := p.check(parts...)
		if err != nil {
			return err
		}
		interleave(a, dst, from[0], from[1], from[2])
		return nil
	}, weight, scales, biases)
}

// interleave writes the blocks of a, whose levels, scales and second numbers stand
// apart in src in the order of the blocks.
func interleave(a dtype.Affine, dst, levels, scales, second []byte) {
	t, _ := a.Type()
	_, size := t.Block()
	n := len(dst) / size
	q, s := len(levels)/max(1, n), len(scales)/max(1, n)
	parallel(n, convertGrain/a.Group, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			scale, bias, level := a.Split(dst[i*size : (i+1)*size])
			copy(scale, scales[i*s:])
			copy(bias, second[i*s:])
			copy(level, levels[i*q:])
		}
	})
}
