package oracle

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// MLX is MLX's affine format: levels of 2, 3, 4, 5, 6 or 8 bits in groups of 32, 64 or
// 128, each with a scale and a bias of type F16 or BF16.
func MLX(bits, group int, scales Format) Format {
	return Format(fmt.Sprintf("mlx %d bits, groups of %d, scales %s", bits, group, scales))
}

// affine is what such a format is made of.
type affine struct {
	bits, group int
	scales      Format
}

// mlxFormats lists all.
func mlxFormats() []Format {
	var list []Format
	for name := range affines {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

var affines = func() map[Format]affine {
	all := map[Format]affine{}
	for _, bits := range []int{2, 3, 4, 5, 6, 8} {
		for _, group := range []int{32, 64, 128} {
			for _, scales := range []Format{F16, BF16} {
				all[MLX(bits, group, scales)] = affine{bits, group, scales}
			}
		}
	}
	return all
}()

// format describes a group: scale, bias, and the levels as a stream of bits, the lowest
// first.
func (a affine) format() format {
	n := formats[a.scales].number
	top := math.Exp2(float64(a.bits)) - 1
	return format{
		elems: a.group, bytes: 2*n.bytes + a.group*a.bits/8, number: n, scales: []int{0, n.bytes},
		spread: math.Sqrt(top * (top + 2) / 12), offset: -top / 2,
		value: func(b []byte, i int) float64 {
			var level float64
			for k := range a.bits {
				level += math.Ldexp(bit(b[2*n.bytes:], i*a.bits+k), k)
			}
			return n.read(b)*level + n.read(b[n.bytes:])
		},
	}
}

// mlxParts takes a matrix apart as a folder of MLX holds it: levels as words, scales,
// biases.
func (t tensor) mlxParts(name string) map[string]part {
	a, f := affines[t.format], t.format.format()
	n, scaleType := f.number.bytes, strings.ToUpper(string(a.scales))
	var levels, scales, biases []byte
	for at := 0; at < len(t.data); at += f.bytes {
		b := t.data[at:][:f.bytes]
		scales, biases, levels = append(scales, b[:n]...), append(biases, b[n:2*n]...), append(levels, b[2*n:]...)
	}
	rows, cols := t.shape[0], t.shape[1]
	layer := strings.TrimSuffix(name, ".weight")
	return map[string]part{
		name:              {"U32", []int{rows, cols * a.bits / 32}, levels},
		layer + ".scales": {scaleType, []int{rows, cols / a.group}, scales},
		layer + ".biases": {scaleType, []int{rows, cols / a.group}, biases},
	}
}

// quantization is the object of config.json that says how each layer is quantised; nil
// where none is.
func (c *Checkpoint) quantization() map[string]any {
	var out map[string]any
	for name, t := range c.tensors {
		a, ok := affines[t.format]
		if !ok {
			continue
		}
		settings := map[string]any{"bits": a.bits, "group_size": a.group}
		if out == nil {
			out = map[string]any{"bits": 4, "group_size": 64} // which each layer says anew
		}
		out[strings.TrimSuffix(name, ".weight")] = settings
	}
	return out
}
