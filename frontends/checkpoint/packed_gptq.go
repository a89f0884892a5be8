package checkpoint

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"foundry/ir/dtype"
)

// gptq is a checkpoint of GPTQ: qweight [cols*bits/32, rows] packs levels of a row of
// the matrix into words down a column, lowest bits first; scales [groups, rows]; and
// qzeros [groups, rows*bits/32] packs zero points along a row, less one in the
// original format.
type gptq struct {
	bits, group int
	sorted      bool   // columns in the order of g_idx
	zeroOffset  uint32 // the difference of a zero point from the one stored
}

func parseGPTQ(raw []byte) (scheme, error) {
	var f struct {
		Bits      int             `json:"bits"`
		Group     int             `json:"group_size"`
		DescAct   bool            `json:"desc_act"`
		Format    string          `json:"checkpoint_format"`
		FormatNew string          `json:"format"`
		PackDType string          `json:"pack_dtype"`
		Marlin    bool            `json:"is_marlin_format"`
		Dynamic   json.RawMessage `json:"dynamic"`
	}
	if err := readSettings("quantization_config", raw, &f); err != nil {
		return nil, err
	}
	out := &gptq{bits: f.Bits, group: f.Group, sorted: f.DescAct}
	format := f.Format
	if format == "" {
		format = f.FormatNew
	}
	if f.Marlin {
		format = "marlin"
	}
	switch format {
	case "", "gptq":
		out.zeroOffset = 1
	case "gptq_v2":
	default:
		return nil, fmt.Errorf("config.json: quantization_config: the checkpoint_format %q is not supported (gptq and gptq_v2 are)", format)
	}
	switch {
	case f.Bits != 4 && f.Bits != 8:
		return nil, fmt.Errorf("config.json: quantization_config: GPTQ of %d bits is not supported (4 and 8 are)", f.Bits)
	case f.PackDType != "" && f.PackDType != "int32":
		return nil, fmt.Errorf("config.json: quantization_config: pack_dtype %q is not supported (int32 is)", f.PackDType)
	case len(f.Dynamic) > 0 && string(f.Dynamic) != "null" && string(f.Dynamic) != "{}":
		return nil, fmt.Errorf("config.json: quantization_config: dynamic, settings by layer, is not supported")
	}
	return out, nil
}

func (g *gptq) unpack(p *packed) error {
	return p.eachSuffix(".qweight", func(layer string) error {
		_, words, err := p.matrixPart(layer + ".qweight")
		if err != nil {
			return err
		}
		t, groups, err := p.matrixPart(layer + ".scales")
		if err != nil {
			return err
		}
		bits, group := int64(g.bits), int64(g.group)
		rows, cols := words[1], words[0]*32/bits
		a := dtype.Affine{Bits: g.bits, Group: g.group, Scales: t, Zeros: true}
		parts := []wantedPart{
			{layer + ".qweight", wordTypes, words[:]},
			{layer + ".scales", scaleTypes, []int64{cols / max(1, group), rows}},
			{layer + ".qzeros", wordTypes, []int64{groups[0], rows * bits / 32}},
		}
		hidden := []string{layer + ".qweight", layer + ".scales", layer + ".qzeros"}
		if _, ok := a.Type(); ok { // otherwise add says what is wrong
			if _, err := p.check(parts...); err != nil {
				return err
			}
			if rows*bits%32 != 0 {
				return fmt.Errorf("tensor %q has %d rows, whose zero points fill no whole words", layer+".qweight", rows)
			}
			if _, has := p.Source.Info(layer + ".g_idx"); has {
				if err := g.checkOrder(p, layer+".g_idx", cols); err != nil {
					return err
				}
				hidden = append(hidden, layer+".g_idx")
			} else if g.sorted {
				return fmt.Errorf("tensor %q is missing: desc_act is true, and it says how columns are sorted", layer+".g_idx")
			}
		}
		return p.add(layer+".weight", a, rows, cols, func(dst []byte) error {
			from, err := p.check(parts...)
			if err != nil {
				return err
			}
			g.fill(a, dst, from[0], from[1], from[2], int(rows), int(cols))
			return nil
		}, hidden...)
	})
}

// checkOrder is an error where columns are not in the order of their groups.
func (g *gptq) checkOrder(p *packed, name string, cols int64) error {
	index, err := p.check(wantedPart{name, wordTypes, []int64{cols}})
	if err != nil {
		return err
	}
	for i := range int(cols) {
		if have := int32(binary.LittleEndian.Uint32(index[0][4*i:])); have != int32(i/g.group) {
			return fmt.Errorf("tensor %q puts column %d in group %d, not in %d: columns sorted by activation (desc_act true) are not supported; take a checkpoint with desc_act false", name, i, have, i/g.group)
		}
	}
	return nil
}

// fill writes the blocks of rows x cols levels.
func (g *gptq) fill(a dtype.Affine, dst, qweight, scales, qzeros []byte, rows, cols int) {
	t, _ := a.Type()
	_, block := t.Block()
	rowBytes := cols / a.Group * block
	words := a.Group * a.Bits / 32 // of a group
	zeros := zeroPoints(a)
	_, n := a.Scales.Block()
	parallel(rows, wordsOfLine, func(lo, hi int) {
		for group := range cols / a.Group {
			for r := lo; r < hi; r++ {
				scale, zero, levels := a.Split(dst[r*rowBytes+group*block : r*rowBytes+(group+1)*block])
				copy(scale, scales[(group*rows+r)*n:])
				at := group*rows + r // among zero points, which fill words along a row
				word := binary.LittleEndian.Uint32(qzeros[at*a.Bits/32*4:])
				copy(zero, zeros[(word>>(at*a.Bits%32))&(1<<a.Bits-1)+g.zeroOffset])
				for w := range words {
					copy(levels[4*w:4*w+4], qweight[((group*words+w)*rows+r)*4:])
				}
			}
		}
	})
}

// wordsOfLine is how many adjacent words are read together down the columns of a
// matrix: a cache line.
const wordsOfLine = 16

// zeroPoints are the zero points of 0 to 2^Bits as blocks store them.
func zeroPoints(a dtype.Affine) [][]byte {
	_, n := a.Scales.Block()
	out := make([][]byte, 1<<a.Bits+1)
	for i := range out {
		out[i] = make([]byte, n)
		dtype.Quantise(a.Scales, []float32{float32(i)}, out[i])
	}
	return out
}
