package runtime

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"foundry/ir/dtype"
	"foundry/ir/sym"
	"foundry/lower/plan"
)

// prepare runs the plan's preparation, which fills the buffers that all instances read.
func (in *Instance) prepare() error {
	e := in.exec.Plan.Prepare
	if e == nil {
		return nil
	}
	start := time.Now()
	defer in.exec.startup.Add(Phase{Name: "prepare"}, start)
	return newWalk(in.exec, e, in.whole, in.arena).submit(sym.Env{T: 1})
}

// factors are those of a buffer's range: values times down are its content, which times
// up is the values. ok is false where the content is the values.
func (in *Instance) factors(buffer int) (down, up float32, ok bool, err error) {
	at := in.exec.Plan.Buffers[buffer].Range
	if at == 0 {
		return 1, 1, false, nil
	}
	var b [plan.RangeBytes]byte
	if err := in.readAt(in.exec.Plan.BufferFor(plan.RangesBuffer), at, b[:]); err != nil {
		return 0, 0, false, err
	}
	word := func(i int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])) }
	return word(0), word(1), true, nil
}

// inRange returns f16 values as the buffer holds them, in memory of its own. A finite
// value that it cannot hold is an error.
func (in *Instance) inRange(buffer int, b []byte) ([]byte, error) {
	down, up, ok, err := in.factors(buffer)
	if err != nil || !ok {
		return b, err
	}
	out := make([]byte, len(b))
	for i := 0; i+1 < len(b); i += 2 {
		v := dtype.F16ToF32(binary.LittleEndian.Uint16(b[i:]))
		if most := float64(up) * 65504; math.Abs(float64(v)) > most && !math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("element %d is %g, kernels write at most %g", i/2, v, most)
		}
		binary.LittleEndian.PutUint16(out[i:], dtype.F32ToF16(v*down))
	}
	return out, nil
}

// outOfRange makes the f16 content of a buffer the values that it stands for.
func (in *Instance) outOfRange(buffer int, b []byte) error {
	_, up, ok, err := in.factors(buffer)
	if err != nil || !ok {
		return err
	}
	for i := 0; i+1 < len(b); i += 2 {
		binary.LittleEndian.PutUint16(b[i:], dtype.F32ToF16(dtype.F16ToF32(binary.LittleEndian.Uint16(b[i:]))*up))
	}
	return nil
}
