package interp

import (
	"math"
	"math/bits"
	"sync"
	"testing"

	"foundry/ir/dtype"
)

// real is what a precision keeps its floats in.
type real interface{ float32 | float64 }

// value is a tensor within a run, possibly a view: element (i, j, ..) stands at
// offset + i*stride[0] + j*stride[1] + ... Stored bytes are never a view.
type value[F real] struct {
	dtype  dtype.Type
	shape  []int
	stride []int
	offset int
	data   []F       // a float value's storage
	ints   []int32   // an i32 value's storage
	stored []byte    // a weight's bytes; data is nil unless something needs it
	buf    *block[F] // the owner of data; nil for params
}

// dense returns a value of the given shape over storage.
func dense[F real](t dtype.Type, shape []int) value[F] {
	v := value[F]{dtype: t, shape: shape, stride: make([]int, len(shape))}
	step := 1
	for i := len(shape) - 1; i >= 0; i-- {
		v.stride[i] = step
		step *= shape[i]
	}
	return v
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

func (v *value[F]) len() int { return product(v.shape) }

// cols is the length of a row, rows their number: a row lies along the last dim.
func (v *value[F]) cols() int { return v.shape[len(v.shape)-1] }

func (v *value[F]) rows() int { return product(v.shape[:len(v.shape)-1]) }

// isDense reports whether the elements stand in row-major order without gaps.
func (v *value[F]) isDense() bool {
	step := 1
	for i := len(v.shape) - 1; i >= 0; i-- {
		if v.shape[i] != 1 && v.stride[i] != step {
			return false
		}
		step *= v.shape[i]
	}
	return true
}

// hasRows reports whether each row is contiguous.
func (v *value[F]) hasRows() bool {
	last := len(v.shape) - 1
	return last >= 0 && (v.shape[last] == 1 || v.stride[last] == 1)
}

// at returns where the row with the given index starts, rows counted row-major
// over the outer dims.
func (v *value[F]) at(row int) int {
	pos := v.offset
	for i := len(v.shape) - 2; i >= 0; i-- {
		pos += row % v.shape[i] * v.stride[i]
		row /= v.shape[i]
	}
	return pos
}

// row returns row i of a float value with contiguous rows.
func (v *value[F]) row(i int) []F {
	pos, n := v.at(i), v.cols()
	return v.data[pos : pos+n : pos+n]
}

// block is one buffer of a run.
type block[F real] struct {
	data []F
	refs int // slots that hold a value in it
}

// pool keeps buffers between uses.
type pool[F real] struct {
	mu   sync.Mutex
	free []*block[F]
}

// get returns a buffer of n elements with any content: the smallest free one
// that is large enough and wastes less than half of itself. Capacities are
// rounded up by at most an eighth, so that a value that grows with the cache
// finds the buffer of the run before.
func (p *pool[F]) get(n int) *block[F] {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := -1
	for i, b := range p.free {
		if c := cap(b.data); c >= n && c/2 <= n && (best < 0 || c < cap(p.free[best].data)) {
			best = i
		}
	}
	if best < 0 {
		step := max(1, 1<<bits.Len(uint(n))/16)
		return &block[F]{data: make([]F, n, (n+step-1)/step*step)}
	}
	b := p.free[best]
	last := len(p.free) - 1
	p.free[best], p.free[last] = p.free[last], nil
	p.free = p.free[:last]
	b.data, b.refs = b.data[:n], 0
	if testing.Testing() { // an old result would pass for one that nobody has written
		nan := F(math.NaN())
		for i := range b.data {
			b.data[i] = nan
		}
	}
	return b
}

func (p *pool[F]) put(b *block[F]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, b)
}

// reader returns a function that reads a row of a matrix as floats: the row
// itself, or its stored form widened into a buffer that the next call reuses.
func (v *value[F]) reader() func(i int) []F {
	if v.data != nil {
		return v.row
	}
	cols := v.cols()
	bytes := int(v.dtype.Bytes(int64(cols)))
	narrow := make([]float32, cols)
	var wide []F
	if !isF32[F]() {
		wide = make([]F, cols)
	}
	return func(i int) []F {
		dtype.Dequantise(v.dtype, v.stored[i*bytes:(i+1)*bytes], narrow)
		if row, ok := any(narrow).([]F); ok {
			return row
		}
		convert(wide, narrow)
		return wide
	}
}
