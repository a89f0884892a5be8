package checkpoint

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/ir/dtype"
)

// A file beside the tensors may have as many bytes as its limit, and no more.
func TestLimitsOfFiles(t *testing.T) {
	dir := t.TempDir()
	read := folderFile(dir)
	for name, limit := range map[string]int64{"config.json": 4 * 1024 * 1024, "vocab.json": 4 * 1024 * 1024, "tokenizer.json": 64 * 1024 * 1024, indexFile: 64 * 1024 * 1024} {
		require.Equal(t, limit, fileLimit(name), name)
		if limit > 1<<25 {
			continue // the same reader
		}
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Truncate(path, limit))
		b, err := read(name)
		require.NoError(t, err)
		require.Len(t, b, int(limit))
		require.NoError(t, os.Truncate(path, limit+1))
		_, err = read(name)
		require.ErrorContains(t, err, "is larger than")
	}
	// The published reader takes headers of up to 100 MB (MAX_HEADER_SIZE).
	for n, want := range map[uint64]string{100 * 1024 * 1024: "", 100*1024*1024 + 1: "a header of 104857601 bytes is above the limit of 104857600"} {
		file := make([]byte, 8+n) // none of it is touched
		binary.LittleEndian.PutUint64(file, n)
		header, _, err := splitHeader(file)
		if want != "" {
			require.EqualError(t, err, want)
			continue
		}
		require.NoError(t, err)
		require.Len(t, header, int(n))
	}
	_, err := Open(filepath.Join(dir, "config.json", "x.gguf"))
	require.ErrorContains(t, err, "not a directory")
}

// A reference of the hub names a commit in a kilobyte at most; what stands in it is a name
// of the folder of snapshots.
func TestReferencesOfTheHub(t *testing.T) {
	cache, _ := snapshot(t, map[string]string{"config.json": "{}", singleFile: "x"})
	ref := filepath.Join(cache, "models--Owner--Some-Model", "refs", "main")
	for text, want := range map[string]string{
		strings.Repeat("x", 1024): ", lacks config.json", strings.Repeat("x", 1025): "it is not in the hub cache " + cache, "../../abc123\n": "", "abc123\n": "",
	} {
		require.NoError(t, os.WriteFile(ref, []byte(text), 0o600))
		_, err := Hub{Cache: cache, Offline: true}.Fetch("Owner/Some-Model")
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
	}
	_, dir := snapshot(t, map[string]string{"config.json": "{}", indexFile: "{"})
	require.Empty(t, firstMissing(dir), "what is wrong with an index says who opens it")
}

// A model of one file is downloaded as that.
func TestHubDownloadsOneFile(t *testing.T) {
	s := server(t, map[string]string{"config.json": "{}", "tokenizer.json": "{}", "merges.txt": "", singleFile: "x", indexFile: "{}"})
	var seen []string
	_, err := Hub{Cache: t.TempDir(), Endpoint: s.URL, Token: "secret", Progress: func(file string, n, of int) { seen = append(seen, fmt.Sprint(file, n, of)) }}.Fetch("Owner/Some-Model")
	require.NoError(t, err)
	require.Equal(t, []string{"config.json1 3", "tokenizer.json2 3", singleFile + "3 3"}, seen)
	s = server(t, map[string]string{"config.json": "{}", indexFile: "{"})
	_, err = Hub{Cache: t.TempDir(), Endpoint: s.URL, Token: "secret"}.Fetch("Owner/Some-Model")
	require.ErrorContains(t, err, "downloading it failed: the answer is not JSON: unexpected end of JSON input")
}

// Under a client's layers of context lies what went wrong, on one line.
func TestOneLineOfAnError(t *testing.T) {
	syntax := json.Unmarshal([]byte("<"), new(any))
	for want, err := range map[string]error{
		"the hub answered 503 (is the name right? a private model needs HF_TOKEN)": fmt.Errorf("layer: %w", errors.New("bad status code 503 for\nx")),
		`Get "http://x": refused`:    fmt.Errorf("layer: %w", &url.Error{Op: "Get", URL: "http://x", Err: errors.New("refused")}),
		"open /x: permission denied": fmt.Errorf("layer: %w", &fs.PathError{Op: "open", Path: "/x", Err: errors.New("permission\n denied")}),
		"the answer is not JSON: invalid character '<' looking for beginning of value": fmt.Errorf("layer: %w", syntax),
		"layer: plain words": errors.New("layer:\n\tplain  words\n"),
	} {
		require.Equal(t, want, oneLine(err))
	}
}

// The pages of a part are the whole pages around it, as few as there are.
func TestPagesOfAPart(t *testing.T) {
	page := int64(os.Getpagesize())
	m := mapping{data: make([]byte, 4*page)}
	for _, c := range []struct{ from, to, offset, bytes int64 }{
		{0, 1, 0, page}, {0, page, 0, page}, {0, page + 1, 0, 2 * page}, {1, page, 1, page}, {page - 1, page + 1, page - 1, 2 * page},
		{page, 2 * page, 0, page}, {page + 5, 2*page - 1, 5, page}, {3 * page, 4 * page, 0, page}, {0, 4 * page, 0, 4 * page},
	} {
		pages, offset := m.pages(m.data[c.from:c.to])
		require.Len(t, pages, int(c.bytes), "%v", c)
		require.Equal(t, c.offset, offset, "%v", c)
		require.Same(t, &m.data[c.from], &pages[offset])
	}
	two := make([]byte, 2*page)
	for _, b := range [][]byte{nil, {}, {1}, two[page : page+1]} { // the last begins where the file ends
		m := mapping{data: two[:page]}
		pages, _ := m.pages(b)
		require.Nil(t, pages)
	}
}

// Matrices that are put together lie in no file, what stands beside them in that of the parts.
func TestPagesOfPackedTensors(t *testing.T) {
	parts, config := edited(t, "awq", nil, nil)
	whole := parts.(*store).tensors
	p, err := Unpack(parts, config)
	require.NoError(t, err)
	m := mapping{data: whole["model.norm.weight"].data}
	parts.(*store).files = []mapping{m}
	pages, _ := p.(Mapped).Pages("model.norm.weight")
	require.NotNil(t, pages)
	for _, name := range []string{"model.layers.0.mlp.down_proj.weight", "model.layers.0.mlp.down_proj.scales"} {
		pages, _ := p.(Mapped).Pages(name)
		require.Nil(t, pages, name)
	}
	bare := &packed{Source: texts{}, matrices: map[string]matrix{}, parts: map[string]bool{}}
	pages, _ = bare.Pages("x")
	require.Nil(t, pages)
	require.NoError(t, bare.Whole())
}

// zeros is a store of tensors of zeros.
func zeros(tensors map[string]Info) *store {
	s := &store{label: "f", tensors: map[string]stored{}, file: texts{}.File}
	for name, info := range tensors {
		info.Bytes = info.DType.Bytes(info.Elements())
		s.tensors[name] = stored{info, make([]byte, info.Bytes)}
	}
	return s
}

// What a way of quantising cannot pack is refused in these words.
func TestShapesOfQuantisedMatrices(t *testing.T) {
	shape := func(t dtype.Type, d ...int64) Info { return Info{DType: t, Shape: d} }
	settings := `{"quantization_config":{"quant_method":"gptq","bits":4,"group_size":64%s}}`
	good := map[string]Info{"l.qweight": shape(dtype.I32, 8, 8), "l.scales": shape(dtype.F16, 1, 8), "l.qzeros": shape(dtype.I32, 1, 1)}
	for _, c := range []struct {
		config  string
		tensors map[string]Info
		err     string
	}{
		{fmt.Sprintf(settings, ""), good, ""},
		{fmt.Sprintf(settings, `,"dynamic":null,"pack_dtype":"int32"`), good, ""},
		{fmt.Sprintf(settings, `,"dynamic":{}`), good, ""},
		{fmt.Sprintf(settings, ""), map[string]Info{"l.qweight": shape(dtype.I32, 12, 8), "l.scales": shape(dtype.F16, 1, 8), "l.qzeros": shape(dtype.I32, 1, 1)},
			`f: tensor "l.weight": rows of shape [8 96] do not divide into affine4_g64_f16_zero blocks of 64 elements`},
		{fmt.Sprintf(settings, ""), map[string]Info{"l.qweight": shape(dtype.I32, 8, 4), "l.scales": shape(dtype.F16, 1, 4), "l.qzeros": shape(dtype.I32, 1, 0)},
			`f: tensor "l.qweight" has 4 rows, whose zero points fill no whole words`},
		{fmt.Sprintf(settings, `,"is_marlin_format":true`), good, `f: config.json: quantization_config: the checkpoint_format "marlin" is not supported (gptq and gptq_v2 are)`},
		{fmt.Sprintf(settings, `,"format":"other"`), good, `f: config.json: quantization_config: the checkpoint_format "other" is not supported (gptq and gptq_v2 are)`},
		{fmt.Sprintf(settings, `,"format":"other","checkpoint_format":"gptq_v2"`), good, ""},
		{fmt.Sprintf(settings, ""), map[string]Info{"l.qweight": shape(dtype.I32, 0, 8)}, `f: tensor "l.qweight" has shape [0 8], which is no quantised matrix`},
		{fmt.Sprintf(settings, ""), map[string]Info{"l.qweight": shape(dtype.I32, 8, 0)}, `f: tensor "l.qweight" has shape [8 0], which is no quantised matrix`},
		{fmt.Sprintf(settings, ""), map[string]Info{"l.qweight": shape(dtype.I32, 8, 8)}, `f: tensor "l.scales" is missing`},
		{`{"quantization_config":7}`, good, "f: config.json: quantization_config is not readable: a number cannot be its value"},
		{`{"quantization_config":{"quant_method":"gptq","bits":"4"}}`, good, "f: config.json: quantization_config is not readable: a string cannot be its bits"},
		{`{"quantization_config":{"quant_method":"awq","bits":"4"}}`, good, "f: config.json: quantization_config is not readable: a string cannot be its bits"},
		{`{"quantization":{"bits":4,"group_size":64,"mode":7}}`, good, "f: config.json: quantization is not readable: a number cannot be its mode"},
		{`{"quantization":{"bits":4}}`, good, "f: config.json: quantization has no quant_method, and is none of MLX, which gives bits and group_size"},
		{`{"quantization":{"group_size":64}}`, good, "f: config.json: quantization has no quant_method, and is none of MLX, which gives bits and group_size"},
		{`x`, good, "f: config.json is not readable: invalid character 'x' looking for beginning of value"},
		{`{"quantization":null,"quantization_config":null}`, good, ""},
	} {
		_, err := Unpack(zeros(c.tensors), []byte(c.config))
		if c.err == "" {
			require.NoError(t, err, c.config)
			require.NoError(t, CheckQuantization([]byte(c.config)))
			continue
		}
		require.EqualError(t, err, c.err)
	}
	require.EqualError(t, CheckQuantization([]byte(`x`)), "config.json is not readable: invalid character 'x' looking for beginning of value")
	// A zero point is one more than stored in the original format alone.
	for format, offset := range map[string]uint32{"": 1, `,"format":"gptq"`: 1, `,"format":"gptq_v2"`: 0, `,"checkpoint_format":"gptq_v2"`: 0, `,"checkpoint_format":"gptq","format":"gptq_v2"`: 1} {
		g, err := parseQuantization([]byte(fmt.Sprintf(settings, format)))
		require.NoError(t, err)
		require.Equal(t, offset, g.(*gptq).zeroOffset, format)
	}
}

// What is asked of a tensor that is not there, or that does not fit, is refused by name.
func TestLoadRefuses(t *testing.T) {
	s := zeros(map[string]Info{"a": {DType: dtype.F32, Shape: []int64{2, 3}}, "i": {DType: dtype.I32, Shape: []int64{5}}})
	require.EqualError(t, Load(s, "b", dtype.F32, nil, nil), `f: no tensor "b"`)
	require.EqualError(t, Load(s, "a", dtype.Q8_0, nil, nil), `f: tensor "a": rows of shape [2 3] do not divide into q8_0 blocks of 32 elements`)
	require.EqualError(t, Load(s, "a", dtype.F16, make([]byte, 11), nil), `f: tensor "a": shape [2 3] of f16 needs 12 bytes, not 11`)
	_, err := ReadAs(s, "a", dtype.Q8_0, nil)
	require.EqualError(t, err, `f: tensor "a": rows of shape [2 3] do not divide into q8_0 blocks of 32 elements`)
	n, err := ScanTensor(s, "i")
	require.NoError(t, err)
	require.Equal(t, Finding{Name: "i", DType: dtype.I32, Values: 5}, n)
	s.tensors["c"] = stored{Info{DType: dtype.F32, Shape: []int64{1}}, make([]byte, 3)}
	_, err = Scan(t.Context(), s, nil)
	require.EqualError(t, err, `f: tensor "c": 3 bytes are no whole number of f32 blocks`)
	made, err := Synth("m", []Shape{{"a", []int64{2}}}, nil)
	require.NoError(t, err)
	_, err = made.Read("b")
	require.EqualError(t, err, `m: no tensor "b"`)
	require.Empty(t, Narrowing{Values: 7}.Note())
	require.Equal(t, "of 7 weights converted to narrower types 3 became zero", Narrowing{Values: 7, Flushed: 3}.Note())
}

// Scan tells how far it is, and ends when it shall.
func TestScanTellsAndEnds(t *testing.T) {
	s := zeros(map[string]Info{"a": {DType: dtype.F32, Shape: []int64{2}}, "b": {DType: dtype.BF16, Shape: []int64{2}}})
	binary.LittleEndian.PutUint32(s.tensors["a"].data, 0x7f800000)
	binary.LittleEndian.PutUint16(s.tensors["b"].data, 0x7fc0)
	ctx, stop := context.WithCancel(t.Context())
	var told []int
	found, err := Scan(ctx, s, func(done, of int) { told = append(told, done, of) })
	require.NoError(t, err)
	require.Equal(t, []Finding{{"a", dtype.F32, 2, 0, 1}, {"b", dtype.BF16, 2, 1, 0}}, found)
	require.Equal(t, `tensor "b": 1 of 2 values are NaN and 0 infinite`, found[1].String())
	require.Equal(t, []int{1, 2, 2, 2}, told)
	stop()
	_, err = Scan(ctx, s, nil)
	require.ErrorIs(t, err, ctx.Err())
}

// A shape has eight dimensions at most, and as many elements as an int64 has bytes for.
func TestShapesAtTheirLimits(t *testing.T) {
	for _, c := range []struct {
		t     dtype.Type
		shape []int64
		bytes int64
		err   string
	}{
		{dtype.F32, nil, 4, ""},
		{dtype.F32, []int64{1, 1, 1, 1, 1, 1, 1, 3}, 12, ""},
		{dtype.F32, []int64{1, 1, 1, 1, 1, 1, 1, 1, 1}, 0, "rank 9 is above the limit of 8"},
		{dtype.F32, []int64{1 << 28, 1 << 28}, 1 << 58, ""},
		{dtype.F32, []int64{1 << 28, 1<<28 + 1}, 0, "shape [268435456 268435457] is too large"},
		{dtype.F32, []int64{1 << 40, 1 << 40}, 0, "shape [1099511627776 1099511627776] is too large"},
		{dtype.F32, []int64{3, -1}, 0, "shape [3 -1] has a negative dimension"},
		{dtype.F32, []int64{3, 0}, 0, ""},
		{dtype.Q8_0, []int64{2, 64}, 2 * 2 * 34, ""},
		{dtype.Q8_0, []int64{64, 2}, 0, "rows of shape [64 2] do not divide into q8_0 blocks of 32 elements"},
		{dtype.Q8_0, nil, 0, "rows of shape [] do not divide into q8_0 blocks of 32 elements"},
	} {
		n, err := storedBytes(c.t, c.shape)
		if c.err != "" {
			require.EqualError(t, err, c.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.bytes, n, "%v", c.shape)
	}
}

// A disk that is full is told wherever it is.
func TestSafetensorsOnAFullDisk(t *testing.T) {
	tensors := []Tensor{{"a", dtype.F32, []int64{2}, make([]byte, 8)}, {"b", dtype.F16, []int64{1, 3}, make([]byte, 6)}}
	var file bytes.Buffer
	require.NoError(t, WriteSafetensors(&file, tensors))
	for n := range file.Len() {
		require.ErrorIs(t, WriteSafetensors(&full{left: n}, tensors), os.ErrClosed, n)
	}
	require.EqualError(t, WriteSafetensors(&file, []Tensor{{"a", dtype.F32, []int64{-1}, nil}}), `tensor "a": shape [-1] has a negative dimension`)
	require.NoError(t, writeItems(&file, nil, map[string]string{"format": "mlx"}))
	require.True(t, bytes.HasSuffix(file.Bytes(), []byte(`{"__metadata__":{"format":"mlx"}}       `)), "filled to eight bytes")
}

// A configuration is beside the tensors, or nowhere.
func TestConfigOf(t *testing.T) {
	dir := folder(t, map[string]string{"config.json": "{}", "x.safetensors": "", "x.gguf": ""}, nil)
	for _, path := range []string{dir, filepath.Join(dir, "x.safetensors")} {
		b, err := ConfigOf(path)
		require.NoError(t, err)
		require.Equal(t, "{}", string(b))
	}
	_, err := ConfigOf(filepath.Join(dir, "x.gguf"))
	require.EqualError(t, err, filepath.Join(dir, "x.gguf")+" has no config.json beside it: file does not exist")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = ConfigOf(filepath.Join(dir, "y"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// A folder is not written of what cannot be read, and of what MLX has no word for.
func TestFoldersThatAreNotWritten(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "out")
	s := zeros(map[string]Info{"a": {DType: dtype.F32, Shape: []int64{2, 64}}})
	affine, err := dtype.ParseWeights("affine4")
	require.NoError(t, err)
	require.EqualError(t, WriteFolder(t.Context(), dir, s, affine, nil, nil), "cannot write "+dir+`: tensor "a" is no weight of a layer, MLX quantises no other`)
	require.ErrorIs(t, WriteFolder(t.Context(), dir, s, dtype.Invalid, nil, nil), fs.ErrNotExist, "no config.json")
	s.file = texts{"config.json": "x"}.File
	require.EqualError(t, WriteFolder(t.Context(), dir, s, dtype.Invalid, nil, nil), "cannot write "+dir+": config.json is not readable: invalid character 'x' looking for beginning of value")
	for _, name := range carried {
		s.file = unreadable{texts{"config.json": "{}"}, name}.File
		require.ErrorIs(t, WriteFolder(t.Context(), dir, s, dtype.Invalid, nil, nil), fs.ErrPermission, name)
	}
	left, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Empty(t, left)
}

// failing is a source of which one tensor cannot be read.
type failing struct {
	Source
	name *string
}

func (s failing) Read(name string) ([]byte, error) {
	if name == *s.name {
		return nil, fs.ErrPermission
	}
	return s.Source.Read(name)
}

// A tensor that cannot be read is an error of who needs it, whenever that is.
func TestTensorsThatDoNotRead(t *testing.T) {
	const layer = "model.layers.0.mlp.down_proj"
	for dir, parts := range map[string][]string{
		"awq": {"qweight", "scales", "qzeros"}, "gptq8": {"qweight", "scales", "qzeros", "g_idx"}, "gptq4-v2": {"qweight", "scales", "qzeros"}, "mlx-mixed": {"weight", "scales", "biases"},
	} {
		s, config := edited(t, dir, nil, nil)
		for _, part := range parts {
			name := layer + "." + part
			_, err := Unpack(failing{s, &name}, config)
			require.ErrorIs(t, err, fs.ErrPermission, "%s %s", dir, name)
			later := ""
			p, err := Unpack(failing{s, &later}, config)
			require.NoError(t, err)
			later = name
			b, err := p.Read(layer + ".weight")
			if part == "g_idx" { // which says that columns are in order, and that was read
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, fs.ErrPermission, "%s %s", dir, name)
			require.NotNil(t, b)
			_, err = p.Read("model.norm.weight")
			require.NoError(t, err)
		}
	}
	name := "b"
	s := failing{zeros(map[string]Info{"a": {DType: dtype.F32, Shape: []int64{1, 32}}, "b": {DType: dtype.F32, Shape: []int64{1, 32}}}), &name}
	_, err := Scan(t.Context(), s, nil)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorIs(t, Load(s, "b", dtype.F16, make([]byte, 64), nil), fs.ErrPermission)
	wide := func(string, Info) dtype.Type { return dtype.F32 }
	require.ErrorIs(t, encodeGGUF(&full{left: 1 << 20}, s, nil, wide, nil, nil), fs.ErrPermission)
	kjv, err := KJV2M()
	require.NoError(t, err)
	name = "model.layers.0.mlp.down_proj.weight"
	affine, err := dtype.ParseWeights("affine4")
	require.NoError(t, err)
	for _, weights := range []dtype.Type{affine, dtype.F16} {
		require.ErrorIs(t, WriteFolder(t.Context(), filepath.Join(t.TempDir(), "out"), failing{kjv, &name}, weights, nil, nil), fs.ErrPermission)
	}
	told := map[string]int64{}
	none := ""
	require.NoError(t, WriteFolder(t.Context(), filepath.Join(t.TempDir(), "out"), failing{kjv, &none}, affine, func(tensor string, n Narrowing) { told[tensor] = n.Values }, nil))
	for _, tensor := range kjv.Names() {
		info, _ := kjv.Info(tensor)
		require.Equal(t, info.Elements(), told[tensor], tensor)
	}
}

// permissions are those of a path, beyond what the process's mask takes away.
func permissions(t *testing.T, path string) fs.FileMode {
	t.Helper()
	all := filepath.Join(t.TempDir(), "all")
	require.NoError(t, os.Mkdir(all, 0o777))
	open, err := os.Stat(all)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Mode().Perm() | 0o777&^open.Mode().Perm()
}

// What is written others may read, and nobody but its owner write.
func TestOthersMayReadFolders(t *testing.T) {
	s, err := KJV2M()
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "out")
	require.NoError(t, WriteFolder(t.Context(), dir, s, dtype.F16, nil, nil))
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o755), info.Mode().Perm(), "whatever the mask is")
	nested := filepath.Join(t.TempDir(), "a", "b.jinja")
	require.NoError(t, writeCarried(nested, []byte("b")))
	cache := t.TempDir()
	require.NoError(t, Hub{Cache: cache}.record("Owner/Some-Model", "c0ffee"))
	shards := t.TempDir()
	one := func(name string) item {
		return item{[]headerTensor{{name, "F32", []int64{1}, 4}}, func() ([]byte, error) { return make([]byte, 4), nil }}
	}
	require.NoError(t, writeShards(t.Context(), shards, []item{one("a"), one("b")}, 4, nil))
	mask := permissions(t, filepath.Join(dir, "tokenizer.json")) &^ 0o644 // what it takes away
	for path, want := range map[string]fs.FileMode{
		filepath.Join(dir, "config.json"): 0o644, filepath.Join(dir, "tokenizer.json"): 0o644, nested: 0o644, filepath.Dir(nested): 0o755,
		filepath.Join(cache, "models--Owner--Some-Model", "refs"): 0o755, filepath.Join(shards, indexFile): 0o644,
	} {
		require.Equal(t, want|mask, permissions(t, path)|mask, path)
	}
}

// Who downloads a model prints nothing of it: a program's standard output is its own.
func TestHubPrintsNothing(t *testing.T) {
	s := server(t, map[string]string{"config.json": "{}", singleFile: "x"})
	read, write, err := os.Pipe()
	require.NoError(t, err)
	stdout := os.Stdout
	os.Stdout = write
	_, err = Hub{Cache: t.TempDir(), Endpoint: s.URL, Token: "secret"}.Fetch("Owner/Some-Model")
	os.Stdout = stdout
	require.NoError(t, err)
	require.NoError(t, write.Close())
	said, err := io.ReadAll(read)
	require.NoError(t, err)
	require.Empty(t, string(said))
}

// What is told of a tensor is what its conversion lost, or what it holds where it stays.
func TestToldOfATensor(t *testing.T) {
	s := zeros(map[string]Info{"a": {DType: dtype.F32, Shape: []int64{3}}})
	for i, bits := range []uint32{0x00800000, 0x3f800000, 0x7fc00000} { // too small for f16, one, none
		binary.LittleEndian.PutUint32(s.tensors["a"].data[4*i:], bits)
	}
	for want, told := range map[dtype.Type]Narrowing{dtype.F16: {Values: 3, NaN: 1, Flushed: 1}, dtype.F32: {Values: 3, NaN: 1}} {
		calls := 0
		data, err := readReported(s, "a", want, func(tensor string, n Narrowing) {
			calls++
			require.Equal(t, "a", tensor)
			require.Equal(t, told, n)
		})
		require.NoError(t, err)
		require.Equal(t, 1, calls)
		same, err := readReported(s, "a", want, nil)
		require.NoError(t, err)
		require.Equal(t, data, same)
	}
	for _, report := range []func(string, Narrowing){nil, func(string, Narrowing) { t.Error("told of what is not there") }} {
		_, err := readReported(s, "b", dtype.F32, report)
		require.EqualError(t, err, `f: no tensor "b"`)
	}
}
