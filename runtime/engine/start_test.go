package engine

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/dtype"
	"foundry/ir/target"
	"foundry/lower/compile"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/devicetest"
)

// A plan from disk runs on cpu with every access looked at, unless somebody has said how, or
// trusts it.
func TestGuarded(t *testing.T) {
	confine := func() error { return nil }
	for _, c := range []struct {
		device        string
		o             cpu.Options
		checked, said bool
	}{
		{CPU, cpu.Options{}, true, true}, {CUDA, cpu.Options{}, false, false}, {Metal, cpu.Options{}, false, false}, {CPU, cpu.Options{TrustKernels: true}, false, false},
		{CPU, cpu.Options{Checked: true}, true, false}, {CPU, cpu.Options{Confine: confine}, false, false},
	} {
		said := ""
		got := Guarded(c.device, "a folder", c.o, func(line string) { said += line })
		require.Equal(t, c.checked, got.Checked, "%+v", c)
		require.Equal(t, c.said, strings.HasPrefix(said, "a folder: every memory access of a plan from disk is looked at"), "%+v", c)
	}
}

// Kernels of GPUs are kept in the folder that is named, else in the user's, else nowhere.
func TestKernelCache(t *testing.T) {
	require.Equal(t, filepath.Join("x", CUDA), kernelCache(cpu.Options{CacheDir: "x"}, CUDA))
	user, err := os.UserCacheDir()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(user, "foundry", Metal), kernelCache(cpu.Options{}, Metal))
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	require.Empty(t, kernelCache(cpu.Options{}, Metal))
}

// What executes no kernels is no device to open, nor is one that nobody knows.
func TestOpenDeviceRefuses(t *testing.T) {
	for name, want := range map[string]string{Ref: "ref runs graphs, not plans", Auto: `there is no device "auto"`, "cpus": `there is no device "cpus", want one of ref, cpu, cuda, metal, auto; did you mean "cpu"?`} {
		dev, err := OpenDevice(t.Context(), name, cpu.Options{})
		require.ErrorContains(t, err, want)
		require.Nil(t, dev)
	}
	for name, want := range map[string]string{CUDA: "cuda replays nothing from indirect command buffers: take metal", "cup": "there is no device", CPU: "cpu replays nothing"} {
		_, err := OpenIndirect(name, cpu.Options{})
		require.ErrorContains(t, err, want)
	}
}

// The reference computes in f32 and all else in f16, for its own target; what is asked for
// stays.
func TestDefaults(t *testing.T) {
	require.Equal(t, compile.Options{Floats: dtype.F32, Cache: dtype.F32, Target: target.Default}, Defaults(Ref, compile.Options{}))
	require.Equal(t, compile.Options{Floats: dtype.F16, Cache: dtype.F16, Target: target.Default}, Defaults(CPU, compile.Options{}))
	asked := compile.Options{Floats: dtype.BF16, Cache: dtype.F32, Target: "apple-m1"}
	require.Equal(t, asked, Defaults(CUDA, asked))
}

// A device that is named is taken; auto takes the fastest that opens, the interpreter where
// none does, and says which and why.
func TestChoose(t *testing.T) {
	said := ""
	say := func(line string) { said += line }
	none := cpu.Options{CXX: filepath.Join(t.TempDir(), "no-compiler")}
	got, err := Choose(t.Context(), "cuda:1", none, say)
	require.NoError(t, err)
	require.Equal(t, "cuda:1", got)
	require.Empty(t, said)
	got, err = Choose(t.Context(), Auto, none, say)
	require.NoError(t, err)
	if got == Ref {
		require.Contains(t, said, "device auto: took ref, the interpreter, because no device that executes kernels is usable: ")
		require.Contains(t, said, "no-compiler")
	} else {
		require.Contains(t, said, "device auto: took "+got+" (")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	_, err = Choose(ended, Auto, none, say)
	require.ErrorIs(t, err, context.Canceled)
}

// What is wrong with a start is said before a device is opened or a weight is read.
func TestStartRefuses(t *testing.T) {
	m := embedded(t)
	dir := filepath.Join(t.TempDir(), "plan")
	c, err := compile.Model(m, compile.Options{Context: 64, Chunk: 8})
	require.NoError(t, err)
	require.NoError(t, c.Plan.Save(dir))
	absent := cpu.Options{CXX: filepath.Join(t.TempDir(), "no-compiler")}
	var asked runtime.Limits
	full := errors.New("full")
	limit := func(l runtime.Limits) error { asked = l; return full }
	for want, o := range map[string]Options{
		`there is no device "gpu"`:            {Device: "gpu"},
		`unknown pass "dee"`:                  {Device: Ref, Compile: compile.Options{Passes: "dee"}},
		"context is 5000":                     {Device: Ref, Compile: compile.Options{Context: 5000}},
		"full":                                {Device: Ref, Compile: compile.Options{Context: 77}, CheckLimits: limit},
		"no such file":                        {Device: CPU, PlanDir: "nowhere"},
		"ref runs graphs":                     {Device: Ref, PlanDir: dir},
		"computes the last row's logits only": {Device: CPU, PlanDir: dir, CPU: absent, Compile: compile.Options{AllLogits: true}},
		"runs at most 8 tokens at a time, not 9; compile it with --chunk 9": {Device: CPU, PlanDir: dir, CPU: absent, Compile: compile.Options{Chunk: 9}},
		"no-compiler": {Device: CPU, PlanDir: dir, CPU: absent, Compile: compile.Options{Chunk: 8}},
	} {
		_, err := Start(t.Context(), m, o)
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, runtime.Limits{Vocab: 2048, Context: 77}, asked)
	_, err = Start(t.Context(), m, Options{Device: CPU, PlanDir: dir, CheckLimits: limit})
	require.ErrorIs(t, err, full)
	require.Equal(t, runtime.Limits{Vocab: 2048, Context: 64}, asked)
	s, err := Prepare(t.Context(), m, Options{Device: Ref, Compile: compile.Options{Passes: compile.SearchPasses}})
	require.NoError(t, err, "a search has its place behind it")
	require.NotNil(t, s.Say)
	s, err = Prepare(t.Context(), m, Options{Device: Auto, CPU: absent})
	require.NoError(t, err)
	require.NotEqual(t, Auto, s.Device, "one was taken")
}

// The reference runs what is in the vocabulary, on a session that is open, and has logits of
// its last run alone.
func TestReferenceRefuses(t *testing.T) {
	e := interpret(t, embedded(t), compile.Options{Context: 64, Chunk: 16})
	require.Nil(t, e.Startup())
	open, err := e.Open()
	require.NoError(t, err)
	require.Equal(t, runtime.Limits{Vocab: 2048, Context: 64, Chunk: 16}, open.Limits())
	_, err = open.Logits()
	require.EqualError(t, err, "no logits: nothing has run")
	for _, id := range []int32{-1, 2048} {
		_, err = open.Prefill(t.Context(), 0, []int32{5, id})
		require.ErrorContains(t, err, "is outside the vocabulary of 2048")
	}
	_, err = open.Prefill(t.Context(), 0, []int32{0, 2047})
	require.NoError(t, err)
	logits, err := open.Logits()
	require.NoError(t, err)
	require.Len(t, logits, 2048)
	_, err = open.Decode(t.Context(), 1, 2048)
	require.Error(t, err)
	_, err = open.Logits()
	require.Error(t, err, "of a run that failed there are none")
	require.NoError(t, open.Close())
	_, err = open.Decode(t.Context(), 0, 1)
	require.EqualError(t, err, "the session is closed")
}

// A conversation that grew keeps in the caches what did not change, and says what it would
// have said from the start.
func TestAnswer(t *testing.T) {
	m := embedded(t)
	e := interpret(t, m, compile.Options{Context: 64})
	answer := func(s *Session, ids []int32, n int) (out []int32) {
		for token, err := range s.Answer(t.Context(), ids, GenerateOptions{Max: n, IgnoreEnd: true}) {
			require.NoError(t, err)
			if token.ID >= 0 {
				out = append(out, token.ID)
			}
		}
		return out
	}
	fresh := func(ids []int32, n int) []int32 {
		s, err := e.NewSession()
		require.NoError(t, err)
		defer s.Close()
		return answer(s, ids, n)
	}
	s, err := e.NewSession()
	require.NoError(t, err)
	first := []int32{40, 77, 258, 12}
	require.Equal(t, fresh(first, 3), answer(s, first, 3))
	for _, ids := range [][]int32{append(append([]int32(nil), s.IDs.Tokens()...), 9, 8), {40, 77, 100}, {41}, {41}, {41, 40, 77}} {
		require.Equal(t, fresh(ids, 4), answer(s, ids, 4), "%v", ids)
		require.Equal(t, ids, s.IDs.Tokens()[:len(ids)])
		require.Len(t, s.IDs.Tokens(), len(ids)+4)
	}
	require.NoError(t, s.Close())

	// Behind a token that ends a text nothing comes, unless that is asked for.
	s, err = e.NewSession()
	require.NoError(t, err)
	defer s.Close()
	for _, err := range s.Generate(t.Context(), "In the beginning", GenerateOptions{}) {
		t.Error("none were asked for", err)
	}
	for _, err := range s.Answer(t.Context(), []int32{5000}, GenerateOptions{Max: 1}) {
		require.ErrorContains(t, err, "5000")
	}
}

// spoiled is the embedded model in a folder, with a value that is none in one of its weights.
func spoiled(t *testing.T, tensor string, value float32) *model.Model {
	dir := t.TempDir()
	from := filepath.Join("..", "..", "frontends", "checkpoint", "kjv2m")
	files, err := os.ReadDir(from)
	require.NoError(t, err)
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(from, f.Name()))
		require.NoError(t, err)
		if f.Name() == "model.safetensors" {
			n := binary.LittleEndian.Uint64(b)
			var header map[string]struct {
				DType   string  `json:"dtype"`
				Offsets []int64 `json:"data_offsets"`
			}
			text := strings.Replace(string(b[8:8+n]), `"__metadata__"`, `"metadata"`, 1)
			_ = json.Unmarshal([]byte(text), &header) // but for what is no tensor
			at := 8 + int64(n) + header[tensor].Offsets[0] + 40
			bits := math.Float32bits(value)
			switch header[tensor].DType {
			case "BF16":
				binary.LittleEndian.PutUint16(b[at:], uint16(bits>>16))
			case "F16":
				binary.LittleEndian.PutUint16(b[at:], dtype.F32ToF16(value))
			default:
				binary.LittleEndian.PutUint32(b[at:], bits)
			}
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, f.Name()), b, 0o666))
	}
	m, err := model.Open(dir, checkpoint.Hub{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// Where no token can be chosen, the first operation whose result is not finite is named, and
// the weight that holds what is none.
func TestDiagnose(t *testing.T) {
	m := spoiled(t, "model.layers.3.mlp.down_proj.weight", float32(math.NaN()))
	e := interpret(t, m, compile.Options{Context: 64})
	s, err := e.NewSession()
	require.NoError(t, err)
	defer s.Close()
	var last error
	for _, err := range s.Answer(t.Context(), []int32{40, 77, 258}, GenerateOptions{Max: 2}) {
		last = err
	}
	require.ErrorContains(t, last, "values that are not finite arise first in layers.3.down_proj (matmul_nt), from ")
	require.ErrorContains(t, last, "model.layers.3.mlp.down_proj.weight")
	plain := errors.New("plain")
	require.Equal(t, plain, e.Diagnose(t.Context(), []int32{1}, plain))
	require.Equal(t, last, e.Diagnose(t.Context(), nil, last))
	require.True(t, finite([]float32{0, -3e38}))
	require.False(t, finite([]float32{0, float32(math.Inf(-1))}) || finite([]float32{float32(math.NaN())}))
	fine := interpret(t, embedded(t), compile.Options{Context: 64})
	require.ErrorContains(t, fine.Diagnose(t.Context(), []int32{1, 2}, last), "on the reference all values are finite: they arise in the halves that ref keeps")
}

// What weights lose where they are made narrower is said once, by whatever starts them.
func TestStartTellsOfLosses(t *testing.T) {
	m := spoiled(t, "model.layers.3.mlp.down_proj.weight", 3e-9)
	devices := []string{Ref}
	if d, err := OpenDevice(t.Context(), CPU, cpu.Options{FewRuns: true}); devicetest.Have(t, err) {
		require.NoError(t, d.Close())
		devices = append(devices, CPU)
	}
	for _, device := range devices { // with the kernels of the tests above
		var said []string
		e, err := Start(t.Context(), m, Options{Device: device, Compile: compile.Options{Weights: dtype.F16, Context: 64}, Say: func(line string) { said = append(said, line) }})
		require.NoError(t, err)
		require.NoError(t, e.Close())
		require.NotEmpty(t, e.Loss.Note())
		require.Equal(t, []string{m.Name + ": " + e.Loss.Note()}, said)
	}
}
