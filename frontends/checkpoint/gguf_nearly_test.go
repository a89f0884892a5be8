package checkpoint

import (
	"cmp"
	"encoding/binary"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/tests/mutate"
)

// ggufParts is a GGUF file by what a change may meet.
type ggufParts struct {
	version uint32
	meta    []ggufPair
	tensors []ggufTensor
	data    []byte
}

// ggufPair is an entry of the metadata.
type ggufPair struct {
	key    string
	kind   uint32
	of     uint32   // an array's
	values [][]byte // the elements of an array, else one value
}

type ggufTensor struct {
	name   string
	dims   []uint64
	kind   uint32
	offset uint64
}

// takeGGUF takes a valid file apart.
func takeGGUF(t testing.TB, b []byte) ggufParts {
	r := &ggufReader{b: b, at: 4}
	var err error
	u32 := func() (v uint32) { v, err = r.u32("x"); require.NoError(t, err); return v }
	u64 := func() (v uint64) { v, err = r.u64("x"); require.NoError(t, err); return v }
	str := func() (v string) { v, err = r.str("x"); require.NoError(t, err); return v }
	value := func(kind uint32) []byte {
		if kind == ggufString {
			return []byte(str())
		}
		v, err := r.take(uint64(ggufSizes[kind]), "x")
		require.NoError(t, err)
		return v
	}
	p := ggufParts{version: u32()}
	tensors, pairs := u64(), u64()
	for range pairs {
		e := ggufPair{key: str(), kind: u32()}
		if e.kind == ggufArray {
			e.of = u32()
			for range u64() {
				e.values = append(e.values, value(e.of))
			}
		} else {
			e.values = [][]byte{value(e.kind)}
		}
		p.meta = append(p.meta, e)
	}
	for range tensors {
		x := ggufTensor{name: str()}
		for range u32() {
			x.dims = append(x.dims, u64())
		}
		x.kind, x.offset = u32(), u64()
		p.tensors = append(p.tensors, x)
	}
	p.data = b[padded(int64(r.at)):]
	return p
}

func (p ggufParts) file() []byte {
	b := ggufBuilder(ggufMagic)
	b.u32(p.version)
	b.u64(uint64(len(p.tensors)))
	b.u64(uint64(len(p.meta)))
	value := func(kind uint32, v []byte) {
		if kind == ggufString {
			b.str(string(v))
		} else {
			b = append(b, v...)
		}
	}
	for _, e := range p.meta {
		b.str(e.key)
		b.u32(e.kind)
		of := e.kind
		if of == ggufArray {
			of = e.of
			b.u32(of)
			b.u64(uint64(len(e.values)))
		}
		for _, v := range e.values {
			value(of, v)
		}
	}
	for _, x := range p.tensors {
		b.str(x.name)
		b.u32(uint32(len(x.dims)))
		for _, d := range x.dims {
			b.u64(d)
		}
		b.u32(x.kind)
		b.u64(x.offset)
	}
	b = append(b, make([]byte, padded(int64(len(b)))-int64(len(b)))...)
	return append(b, p.data...)
}

// changed returns the file behind the changes that c chooses.
func (p ggufParts) changed(c *mutate.Choices) []byte {
	p.meta, p.tensors = slices.Clone(p.meta), slices.Clone(p.tensors)
	for c.More() {
		switch c.Below(8) {
		case 0:
			p.meta = reordered(p.meta, c)
		case 1:
			p.tensors = reordered(p.tensors, c)
		case 2:
			p.version = mutate.Of(c, []uint32{2, 3, 1, 4, 3 << 24})
		case 3:
			p.data = p.data[:len(p.data)-min(len(p.data), mutate.Of(c, []int{1, 32, 256}))]
		case 4, 5:
			if len(p.meta) > 0 {
				i := c.Below(len(p.meta))
				p.meta[i] = p.meta[i].changed(p, c)
			}
		default:
			if len(p.tensors) > 0 {
				i := c.Below(len(p.tensors))
				p.tensors[i] = p.tensors[i].changed(p, c)
			}
		}
		if c.Below(2) == 1 {
			p.layOut()
		}
	}
	return p.file()
}

// reordered takes one of a list away, repeats it or moves it.
func reordered[E any](list []E, c *mutate.Choices) []E {
	if len(list) == 0 {
		return list
	}
	i, j := c.Below(len(list)), c.Below(len(list))
	switch c.Below(3) {
	case 0:
		return slices.Delete(list, i, i+1)
	case 1:
		return slices.Insert(list, j, list[i])
	}
	list[i], list[j] = list[j], list[i]
	return list
}

// layOut gives every tensor a place of its own, and the file as much data.
func (p *ggufParts) layOut() {
	at := int64(0)
	for i, x := range p.tensors {
		p.tensors[i].offset = uint64(at)
		size := int64(0)
		if t, err := ggmlType(x.kind); err == nil {
			dims := make([]int64, len(x.dims))
			for d, n := range x.dims {
				dims[d] = int64(min(n, math.MaxInt64))
			}
			slices.Reverse(dims)
			if n, err := storedBytes(t, dims); err == nil && n < 1<<20 {
				size = n
			}
		}
		at = padded(at + size)
	}
	data := make([]byte, at)
	copy(data, p.data)
	p.data = data
}

// keys are what the reader looks for, beside those of the file at hand.
var keys = []string{"general.alignment", "general.architecture", "general.file_type", "general.name", "tokenizer.ggml.model", "tokenizer.ggml.pre",
	"tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
	"tokenizer.ggml.add_bos_token", "tokenizer.chat_template", "split.count", "split.no", "qwen2.rope.scaling.type", "qwen2.rope.scaling.factor",
	"qwen2.rope.scaling.original_context_length", "qwen2.attention.key_length", "qwen2.attention.value_length", "qwen2.vocab_size"}

func (e ggufPair) changed(p ggufParts, c *mutate.Choices) ggufPair {
	e.values = slices.Clone(e.values)
	other := mutate.Of(c, p.meta)
	switch c.Below(6) {
	case 0:
		e.key = mutate.Of(c, keys)
	case 1:
		e.key = other.key
	case 2:
		e.kind, e.of, e.values = other.kind, other.of, other.values
	case 3:
		if e.kind == ggufArray {
			e.values = reordered(e.values, c)
		}
	default:
		if len(e.values) == 0 {
			break
		}
		i, of := c.Below(len(e.values)), e.kind
		if of == ggufArray {
			of = e.of
		}
		if of == ggufString {
			e.values[i] = mutate.Of(c, [][]byte{nil, []byte("gpt2"), []byte("qwen2"), []byte("qwen3"), []byte("yarn"), []byte("a\nb"), {0xff}, append(slices.Clone(e.values[i]), 'x')})
			break
		}
		v := binary.LittleEndian.AppendUint64(nil, numberOf(c))
		e.values[i] = v[:ggufSizes[of]]
	}
	return e
}

func numberOf(c *mutate.Choices) uint64 {
	return mutate.Of(c, []uint64{0, 1, 2, 3, 7, 31, 32, 33, 64, 256, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, math.MaxUint64,
		uint64(math.Float32bits(0.5)), uint64(math.Float32bits(1e6)), 0x7fc00000, math.Float64bits(2)})
}

func (x ggufTensor) changed(p ggufParts, c *mutate.Choices) ggufTensor {
	x.dims = slices.Clone(x.dims)
	other := mutate.Of(c, p.tensors)
	switch c.Below(6) {
	case 0:
		x.name = mutate.Of(c, []string{"", "a\nb", "blk.1.attn_q.weight", "blk.0.attn_q.bias", "output_norm.weight", "rope_freqs.weight", other.name})
	case 1:
		x.kind = uint32(mutate.Of(c, []uint64{0, 1, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 15, 20, 23, 30, 31, numberOf(c)}))
	case 2:
		x.offset = mutate.Of(c, []uint64{other.offset, x.offset + 32, x.offset - 32, x.offset + 1, numberOf(c)})
	case 3:
		x.dims = slices.Clone(other.dims)
	case 4:
		x.dims = reordered(x.dims, c)
	default:
		if len(x.dims) > 0 {
			i := c.Below(len(x.dims))
			x.dims[i] = mutate.Of(c, []uint64{x.dims[i] + 1, x.dims[i] - 1, 2 * x.dims[i], 32, 256, numberOf(c)})
		}
	}
	return x
}

// FuzzNearlyGGUF is FuzzGGUF on files that are changed in few places: what transformers'
// library wrote, and one with a tokenizer.
func FuzzNearlyGGUF(f *testing.F) {
	files := nearlyGGUF(f)
	for i := range byte(64) {
		f.Add(i, []byte{})
		f.Add(i, []byte{i, i * 7, i * 13, i * 29, i * 31, i, i})
	}
	f.Fuzz(func(t *testing.T, which byte, choices []byte) {
		holdGGUF(t, files[int(which)%len(files)].changed(mutate.From(choices)))
	})
}

// nearlyGGUF are the files that are changed.
func nearlyGGUF(f testing.TB) []ggufParts {
	f.Helper()
	raw, err := os.ReadFile("testdata/python.gguf")
	require.NoError(f, err)
	files := []ggufParts{takeGGUF(f, raw)}
	require.Equal(f, raw, files[0].file(), "taken apart and put together")
	text := func(key string, values ...string) ggufPair {
		e := ggufPair{key: key, kind: ggufString}
		for _, v := range values {
			e.values = append(e.values, []byte(v))
		}
		if len(values) > 1 {
			e.kind, e.of = ggufArray, ggufString
		}
		return e
	}
	number := func(key string, kind uint32, value byte) ggufPair {
		return ggufPair{key: key, kind: kind, values: [][]byte{append([]byte{value}, make([]byte, ggufSizes[kind]-1)...)}}
	}
	kinds := ggufPair{key: "tokenizer.ggml.token_type", kind: ggufArray, of: ggufInt32, values: [][]byte{{1, 0, 0, 0}, {1, 0, 0, 0}, {1, 0, 0, 0}, {3, 0, 0, 0}}}
	with := files[0]
	with.meta = append(slices.Clone(with.meta), text("tokenizer.ggml.model", "gpt2"), text("tokenizer.ggml.pre", "qwen2"),
		text("tokenizer.ggml.tokens", "a", "b", "ab", "<|end|>"), text("tokenizer.ggml.merges", "a b", "ab a"),
		kinds, number("tokenizer.ggml.eos_token_id", ggufUint32, 3),
		number("tokenizer.ggml.add_bos_token", ggufBool, 0), text("tokenizer.chat_template", "{{ messages }}"))
	float := func(key string, v float32) ggufPair {
		return ggufPair{key: key, kind: ggufFloat32, values: [][]byte{binary.LittleEndian.AppendUint32(nil, math.Float32bits(v))}}
	}
	whole := with // with all that config.json is made of
	whole.meta = slices.DeleteFunc(slices.Clone(with.meta), func(p ggufPair) bool { return strings.HasPrefix(p.key, "qwen2.") })
	for key, v := range map[string]byte{"block_count": 1, "context_length": 128, "embedding_length": 64, "feed_forward_length": 96, "attention.head_count": 4,
		"attention.head_count_kv": 2, "rope.dimension_count": 16, "vocab_size": 4, "rope.scaling.original_context_length": 32} {
		whole.meta = append(whole.meta, number("qwen2."+key, ggufUint32, v))
	}
	slices.SortStableFunc(whole.meta, func(a, b ggufPair) int { return cmp.Compare(a.key, b.key) })
	whole.meta = append(whole.meta, text("qwen2.rope.scaling.type", "yarn"), number("tokenizer.ggml.bos_token_id", ggufUint32, 0), number("tokenizer.ggml.eot_token_id", ggufUint32, 1),
		float("qwen2.rope.freq_base", 1e6), float("qwen2.attention.layer_norm_rms_epsilon", 1e-6), float("qwen2.rope.scaling.factor", 4), float("qwen2.rope.scaling.attn_factor", 1.5))
	return append(files, with, whole, whole)
}
