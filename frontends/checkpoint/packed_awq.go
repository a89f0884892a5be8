package checkpoint

import (
	"encoding/binary"
	"fmt"

	"foundry/ir/dtype"
)

// awq is a checkpoint of AWQ in its gemm form: qweight [cols, rows/8] packs a level
// of each of eight adjacent rows of the matrix into a word, and qzeros [groups,
// rows/8] their zero points; scales [groups, rows].
type awq struct{ group int }

const awqBits = 4

// awqShift is where in a word the level of the i-th of eight rows stands: the
// nibbles hold rows 0, 2, 4, 6, 1, 3, 5, 7.
var awqShift = [8]int{0, 16, 4, 20, 8, 24, 12, 28}

func parseAWQ(raw []byte) (scheme, error) {
	var f struct {
		Bits      int    `json:"bits"`
		Group     int    `json:"group_size"`
		Version   string `json:"version"`
		ZeroPoint *bool  `json:"zero_point"`
	}
	if err := readSettings("quantization_config", raw, &f); err != nil {
		return nil, err
	}
	switch {
	case f.Version != "" && f.Version != "gemm" && f.Version != "GEMM":
		return nil, fmt.Errorf("config.json: quantization_config: AWQ of the version %q is not supported (gemm is)", f.Version)
	case f.Bits != awqBits:
		return nil, fmt.Errorf("config.json: quantization_config: AWQ of %d bits is not supported (4 are)", f.Bits)
	case f.ZeroPoint != nil && !*f.ZeroPoint:
		return nil, fmt.Errorf("config.json: quantization_config: AWQ without zero points is not supported")
	}
	return &awq{f.Group}, nil
}

func (q *awq) unpack(p *packed) error {
	return p.eachSuffix(".qweight", func(layer string) error {
		_, words, err := p.matrixPart(layer + ".qweight")
		if err != nil {
			return err
		}
		t, _, err := p.matrixPart(layer + ".scales")
		if err != nil {
			return err
		}
		rows, cols := words[1]*8, words[0]
		a := dtype.Affine{Bits: awqBits, Group: q.group, Scales: t, Zeros: true}
		groups := cols / max(1, int64(q.group))
		parts := []wantedPart{
			{layer + ".qweight", wordTypes, words[:]},
			{layer + ".scales", scaleTypes, []int64{groups, rows}},
			{layer + ".qzeros", wordTypes, []int64{groups, words[1]}},
		}
		if _, ok := a.Type(); ok { // otherwise add says what is wrong
			if _, err := p.check(parts...); err != nil {
				return err
			}
		}
		return p.add(layer+".weight", a, rows, cols, func(dst []byte) error {
			from, err := p.check(parts...)
			if err != nil {
				return err
			}
			q.fill(a, dst, from[0], from[1], from[2], int(rows), int(cols))
			return nil
		}, parts[0].name, parts[1].name, parts[2].name)
	})
}

// fill writes the blocks of rows x cols levels: those of a word's rows for eight
// columns at a time, which are a word of each row.
func (q *awq) fill(a dtype.Affine, dst, qweight, scales, qzeros []byte, rows, cols int) {
	t, _ := a.Type()
	_, block := t.Block()
	rowBytes := cols / a.Group * block
	zeros := zeroPoints(a)
	_, n := a.Scales.Block()
	wide := rows / 8
	parallel(wide, wordsOfLine, func(lo, hi int) {
		for group := range cols / a.Group {
			for w := lo; w < hi; w++ {
				packedZeros := binary.LittleEndian.Uint32(qzeros[(group*wide+w)*4:])
				for i, shift := range awqShift {
					r := 8*w + i
					scale, zero, _ := a.Split(dst[r*rowBytes+group*block : r*rowBytes+(group+1)*block])
					copy(scale, scales[(group*rows+r)*n:])
					copy(zero, zeros[packedZeros>>shift&15])
				}
				for k := 0; k < a.Group; k += 8 {
					var row [8]uint32
					for j := range 8 {
						word := binary.LittleEndian.Uint32(qweight[((group*a.Group+k+j)*wide+w)*4:])
						for i, shift := range awqShift {
							row[i] |= word >> shift & 15 << (4 * j)
						}
					}
					for i, levels := range row {
						at := (8*w+i)*rowBytes + group*block + 2*n + k/2
						binary.LittleEndian.PutUint32(dst[at:], levels)
					}
				}
			}
		}
	})
}
