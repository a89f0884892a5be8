package tests

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"foundry/frontends/checkpoint"
	"foundry/ir/dtype"

	"github.com/stretchr/testify/require"
)

// ggufParts is a good file and where its sections begin.
type ggufParts struct {
	file                    []byte
	tensors, entryEnd, data int
}

func goodGGUF(t *testing.T) ggufParts {
	t.Helper()
	s, err := checkpoint.KJV2M()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "good.gguf")
	require.NoError(t, checkpoint.WriteGGUF(t.Context(), path, s, dtype.Q8_0, nil, nil))
	p := ggufParts{}
	p.file, err = os.ReadFile(path)
	require.NoError(t, err)
	back, err := checkpoint.Open(path)
	require.NoError(t, err)
	defer back.Close()
	size := 0
	for _, name := range back.Names() {
		info, _ := back.Info(name)
		size += int(info.Bytes+31) / 32 * 32
	}
	p.data = len(p.file) - size
	first := "token_embd.weight" // model.embed_tokens.weight, the first by name
	p.tensors = bytes.LastIndex(p.file[:p.data], append(binary.LittleEndian.AppendUint64(nil, uint64(len(first))), first...))
	require.Positive(t, p.tensors)
	p.entryEnd = p.tensors + 8 + len(first) + 4 + 2*8 + 4 + 8
	return p
}

// put returns a copy of the file with words written at an offset.
func (p ggufParts) put(at int, words ...byte) []byte {
	b := bytes.Clone(p.file)
	copy(b[at:], words)
	return b
}

func u64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
func u32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// number returns a copy of the file with a float32 of the metadata replaced.
func (p ggufParts) number(t *testing.T, key string, v float64) []byte {
	t.Helper()
	at := bytes.Index(p.file, append(u64(uint64(len(key))), key...))
	require.Positive(t, at)
	return p.put(at+8+len(key)+4, u32(math.Float32bits(float32(v)))...)
}

// TestBadGGUFOnTheCommandLine damages a good file in every way that the reader
// must meet: each command that opens it ends with exit code 1 and one line that
// names the file and what is wrong, and allocates no more than the file is large.
func TestBadGGUFOnTheCommandLine(t *testing.T) {
	const eps, base = "qwen2.attention.layer_norm_rms_epsilon", "qwen2.rope.freq_base"
	p := goodGGUF(t)
	cut := func(n int) []byte { return p.file[:n] }
	cases := []struct {
		name, want string
		file       []byte
	}{
		{"wrong magic", `not a GGUF file: it starts with "GGML"`, p.put(0, []byte("GGML")...)},
		{"version 1", "GGUF version 1 is not supported (2 and 3 are)", p.put(4, u32(1)...)},
		{"version 4", "GGUF version 4 is not supported", p.put(4, u32(4)...)},
		{"big-endian", "a big-endian GGUF file is not supported", p.put(4, 0, 0, 0, 3)},
		{"empty", "empty", cut(0)},
		{"cut in the magic", "truncated: the magic number", cut(3)},
		{"cut behind the magic", "truncated: the version", cut(4)},
		{"cut behind the version", "truncated: the number of tensors", cut(8)},
		{"cut behind the tensor count", "there are 62 tensors, which do not fit the 0 bytes that follow", cut(16)},
		{"cut behind the header", "there are 62 tensors, which do not fit the 8 bytes that follow", cut(24)},
		{"cut in a metadata array", "which do not fit the", cut(p.tensors / 2)},
		{"cut behind the metadata", "truncated: the name of tensor 0", cut(p.tensors)},
		{"cut behind a tensor's entry", "truncated: the name of tensor 1", cut(p.entryEnd)},
		{"cut before the data", "lie outside the 0 bytes of data (is the file truncated?)", cut(p.data)},
		{"cut in the data", "(is the file truncated?)", cut(p.data + 1000)},
		{"cut in the last tensor", "(is the file truncated?)", cut(len(p.file) - 64)},
		{"tensor count 2^40", "the header says there are 1099511627776 tensors", p.put(8, u64(1<<40)...)},
		{"metadata count 2^40", "the header says there are 1099511627776 metadata entries", p.put(16, u64(1<<40)...)},
		{"string length 2^63", "needs 9223372036854775808 bytes", p.put(24, u64(1<<63)...)},
		{"name length 2^63", "truncated: the name of tensor 0 needs 9223372036854775808 bytes", p.put(p.tensors, u64(1<<63)...)},
		{"unknown quantisation", "its type is the unknown number 99, which is not supported", p.put(p.entryEnd-12, u32(99)...)},
		{"offset past the end", "lie outside the", p.put(p.entryEnd-8, u64(1<<40)...)},
		{"offset not aligned", "is no multiple of the alignment 32", p.put(p.entryEnd-8, u64(8)...)},
		{"eps not a number", `"qwen2.attention.layer_norm_rms_epsilon" is NaN`, p.number(t, eps, math.NaN())},
		{"eps infinite", `"qwen2.attention.layer_norm_rms_epsilon" is +Inf`, p.number(t, eps, math.Inf(1))},
		{"eps of 1e30", "rms_norm_eps is 1e+30, want 1e-30 to 1", p.number(t, eps, 1e30)},
		{"eps of 1e-40", "rms_norm_eps is 1e-40, want 1e-30 to 1", p.number(t, eps, 1e-40)},
		{"negative base", "rope_theta is -10000, want 1 to 1e+30", p.number(t, base, -1e4)},
		{"base of 1e-30", "rope_theta is 1e-30, want 1 to 1e+30", p.number(t, base, 1e-30)},
		{"base not a number", `"qwen2.rope.freq_base" is NaN`, p.number(t, base, math.NaN())},
		{"dimension 2^62", "is too large", p.put(p.entryEnd-12-8, u64(1<<62)...)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.gguf")
			require.NoError(t, os.WriteFile(path, c.file, 0o666))
			for _, args := range [][]string{
				{"inspect", path},
				{"eval", "--model", path, "--ids", "1"},
				{"convert", "--model", path, "-o", filepath.Join(t.TempDir(), "out.gguf")},
			} {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				code, out, errs := foundryCmd(t, nil, args...)
				runtime.ReadMemStats(&after)
				require.Equal(t, 1, code, args[0])
				require.Empty(t, out)
				require.Equal(t, 1, strings.Count(errs, "\n"), "%q", errs)
				require.Contains(t, errs, fmt.Sprintf("foundry: %s: ", path))
				require.Contains(t, errs, c.want)
				require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
			}
		})
	}
}
