package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"foundry/ir/dtype"
	"foundry/tests/mutate"

	"github.com/stretchr/testify/require"
)

// file puts a header before data, as a safetensors file does.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

const twoTensors = `{"__metadata__":{"format":"pt"},` +
	`"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},` +
	`"b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}}  `

func TestParseSafetensors(t *testing.T) {
	b := file(twoTensors, 22)
	for i := range 22 {
		b[len(b)-22+i] = byte(i)
	}
	got, err := parseSafetensors("f", b)
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, Info{dtype.F32, []int64{2, 2}, 16}, got["a"].Info)
	require.Equal(t, Info{dtype.BF16, []int64{3}, 6}, got["b"].Info)
	require.Equal(t, []byte{16, 17, 18, 19, 20, 21}, got["b"].data)
}

var badSafetensors = []struct {
	name string
	file []byte
	err  string
}{
	{"empty", nil, "f: the file is empty"},
	{"seven bytes", make([]byte, 7), "f: truncated: 7 bytes cannot hold a safetensors header"},
	{"header beyond the file", binary.LittleEndian.AppendUint64(nil, 100), "f: the header says it has 100 bytes, but only 0 follow (truncated, or not a safetensors file)"},
	{"absurd header", append(binary.LittleEndian.AppendUint64(nil, 1<<63+5), "{}"...), "f: the header says it has 9223372036854775813 bytes, but only 2 follow (truncated, or not a safetensors file)"},
	{"no JSON", file("hello", 0), "f: the header is not the JSON of a safetensors file: invalid character 'h' looking for beginning of value"},
	{"an array", file("[]", 0), "f: the header is not the JSON of a safetensors file: it starts with ["},
	{"cut JSON", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`, 4), "f: the header is not the JSON of a safetensors file: it breaks off inside the object"},
	{"text behind", file(`{} x`, 0), "f: the header is not the JSON of a safetensors file: 1 bytes follow the object"},
	{"truncated data", file(twoTensors, 21), `f: tensor "b": bytes 16-22 lie outside the 21 bytes of data (is the file truncated?)`},
	{"more data", file(twoTensors, 30), "f: 8 bytes after the last tensor belong to no tensor"},
	{"unknown dtype", file(`{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}`, 4), `f: tensor "a": unknown dtype "F99" (known: BF16, F16, F32, I32, U32)`},
	{"no dtype", file(`{"a":{"shape":[1],"data_offsets":[0,4]}}`, 4), `f: tensor "a": its header entry needs dtype, shape and two data_offsets`},
	{"null", file(`{"a":null}`, 0), `f: tensor "a": its header entry needs dtype, shape and two data_offsets`},
	{"wrong kind", file(`{"a":{"dtype":"F32","shape":"x","data_offsets":[0,4]}}`, 4), `f: tensor "a": its header entry is malformed: a string cannot be its shape`},
	{"size", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4), `f: tensor "a": shape [2] of F32 needs 8 bytes, but its offsets hold 4`},
	{"negative shape", file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), `f: tensor "a": shape [-1] has a negative dimension`},
	{"shape whose product wraps", file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0), `f: tensor "a": shape [4294967296 4294967296] is too large`},
	{"rank", file(`{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}`, 4), `f: tensor "a": rank 9 is above the limit of 8`},
	{"negative offset", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}`, 4), `f: tensor "a": bytes -4-0 lie outside the 4 bytes of data (is the file truncated?)`},
	{"reversed offsets", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4), `f: tensor "a": bytes 4-0 lie outside the 4 bytes of data (is the file truncated?)`},
	{"overlap", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), `f: tensor "b" at bytes 4-8 overlaps tensor "a", which ends at 8`},
	{"hole", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`, 12), `f: tensor "b": starts at byte 8, but the bytes from 4 on belong to no tensor`},
	{"twice", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), `f: tensor "a" is listed twice`},
}

func TestBadSafetensors(t *testing.T) {
	for _, c := range badSafetensors {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := parseSafetensors("f", c.file)
			runtime.ReadMemStats(&after)
			require.EqualError(t, err, c.err)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
		})
	}
}

// A file cut anywhere is refused, whatever byte it is cut at.
func TestEveryTruncationIsRefused(t *testing.T) {
	b := file(twoTensors, 22)
	for n := range b {
		_, err := parseSafetensors("f", b[:n])
		require.Error(t, err, "%d bytes", n)
		require.NotContains(t, err.Error(), "\n")
	}
}

func FuzzSafetensors(f *testing.F) {
	for _, c := range badSafetensors {
		f.Add(c.file)
	}
	f.Add(file(twoTensors, 22))
	f.Fuzz(holdSafetensors)
}

// FuzzNearlySafetensors is FuzzSafetensors on headers that are changed in few places: first
// the tensors, which then get offsets and data of their size, or some bytes more or less,
// then the header itself.
func FuzzNearlySafetensors(f *testing.F) {
	tree, err := mutate.JSON([]byte(`[{"name":"a","dtype":"F32","shape":[2,3]},{"name":"b.weight","dtype":"BF16","shape":[5]},
		{"name":"c","dtype":"I32","shape":[]},{"name":"d","dtype":"U32","shape":[0,4]},{"name":"e","dtype":"F16","shape":[1,1,3]}]`))
	require.NoError(f, err)
	for i := range byte(64) {
		f.Add(i, []byte{i, i * 7, i * 13, i * 29, i * 31}, []byte{i, i * 5, i * 11, i * 3, i * 37})
	}
	f.Fuzz(func(t *testing.T, kind byte, tensors, header []byte) {
		text, size := withOffsets(tree.Text(mutate.From(tensors)))
		switch kind % 3 {
		case 1:
			tree, err := mutate.JSON(text)
			require.NoError(t, err)
			text = tree.Text(mutate.From(header))
		case 2:
			size = max(0, size+int(kind)/3-42)
		}
		holdSafetensors(t, file(string(text), size))
	})
}

// withOffsets turns a list of tensors into a header that gives each a place of its size,
// and returns the bytes of all. Of what is no list of tensors it makes what it can.
func withOffsets(list []byte) (header []byte, size int) {
	var tensors []struct {
		Name  string
		DType string
		Shape []int64
	}
	_ = json.Unmarshal(list, &tensors)
	header = []byte(`{"__metadata__":{"format":"pt"}`)
	for _, x := range tensors {
		n := int64(1)
		if d, known := safetensorTypes[x.DType]; known {
			if whole, err := storedBytes(d, x.Shape); err == nil && whole < 1<<20 {
				n = whole
			}
		}
		entry, _ := json.Marshal(map[string]any{"dtype": x.DType, "shape": x.Shape, "data_offsets": []int{size, size + int(n)}})
		name, _ := json.Marshal(x.Name)
		header = slices.Concat(header, []byte(","), name, []byte(":"), entry)
		size += int(n)
	}
	return append(header, '}'), size
}

// holdSafetensors holds what is accepted of a file to its size.
func holdSafetensors(t *testing.T, b []byte) {
	tensors, err := parseSafetensors("f", b)
	if err != nil {
		if strings.ContainsAny(err.Error(), "\n\r") {
			t.Fatalf("an error of several lines: %q", err)
		}
		return
	}
	var total int64
	for name, s := range tensors {
		if int64(len(s.data)) != s.Bytes || s.DType.Bytes(s.Elements()) != s.Bytes {
			t.Fatalf("tensor %q: %v holds %d bytes", name, s.Info, len(s.data))
		}
		total += s.Bytes
	}
	if header := binary.LittleEndian.Uint64(b); total != int64(len(b))-8-int64(header) {
		t.Fatalf("tensors of %d bytes in a file of %d with a header of %d", total, len(b), header)
	}
}

func TestWriteThenRead(t *testing.T) {
	want := []Tensor{
		{"logits", dtype.F32, []int64{2, 3}, bytes.Repeat([]byte{1, 2, 3, 4}, 6)},
		{"a \"quoted\"\nname", dtype.BF16, []int64{5}, []byte("0123456789")},
		{"empty", dtype.I32, []int64{0, 4}, nil},
		{"scalar", dtype.F16, nil, []byte{7, 8}},
	}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	var file bytes.Buffer
	require.NoError(t, WriteSafetensors(&file, want))
	require.NoError(t, os.WriteFile(path, file.Bytes(), 0o644))
	s, err := Open(path)
	require.NoError(t, err)
	defer s.Close()
	require.Len(t, s.Names(), len(want))
	for _, w := range want {
		info, ok := s.Info(w.Name)
		require.True(t, ok)
		require.Equal(t, w.DType, info.DType)
		require.Equal(t, append([]int64{}, w.Shape...), info.Shape)
		b, err := s.Read(w.Name)
		require.NoError(t, err)
		require.Equal(t, append([]byte{}, w.Data...), append([]byte{}, b...))
	}
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Zero(t, binary.LittleEndian.Uint64(raw)%8, "the data is aligned")
}

func TestWriteRefuses(t *testing.T) {
	for _, c := range []struct {
		tensors []Tensor
		err     string
	}{
		{[]Tensor{{"a", dtype.Q8_0, []int64{32}, make([]byte, 34)}}, `tensor "a": safetensors cannot hold q8_0`},
		{[]Tensor{{"a", dtype.F32, []int64{2}, make([]byte, 4)}}, `tensor "a": shape [2] of f32 needs 8 bytes, but there are 4`},
		{[]Tensor{{"a", dtype.F32, []int64{0}, nil}, {"a", dtype.F32, []int64{0}, nil}}, `tensor "a" is given twice`},
	} {
		require.EqualError(t, WriteSafetensors(io.Discard, c.tensors), c.err)
	}
}
