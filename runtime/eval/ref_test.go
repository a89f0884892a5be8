package eval

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/lower/compile"
	"foundry/runtime/engine"
)

// mixed is a graph with params of each kind and several dtypes.
const mixed = `graph @mixed (T=1..4, P=0..3, S<=4) {
  %0 = input "x" : f32[T, 4]
  %1 = input "ids" : i32[T]
  %2 = weight "w" : bf16[3, 4]
  %3 = state "kv" : f16[1, 4, 4]
  %4 = input "rows" : f32[1, T, 4]
  %5 = matmul_nt %0, %2 : f32[T, 3]
  %6 = kv_write %3, %4 {start=P} : f16[1, 4, 4]
  %7 = add %0, %0 : f32[T, 4]
  return y=%5, kv=%6, twice=%7, ids=%1
}
`

// f32s and i32s are a tensor's bytes.
func f32s(v ...float32) []byte {
	var out []byte
	for _, x := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
	}
	return out
}

func i32s(v ...int32) []byte {
	out, _ := binary.Append(nil, binary.LittleEndian, v)
	return out
}

func graphFile(t *testing.T, text string) *model.Model {
	file := filepath.Join(t.TempDir(), "mixed.fir")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o666))
	m, err := model.Open(file, checkpoint.Hub{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// inputs writes tensors to a file.
func inputs(t *testing.T, tensors ...checkpoint.Tensor) string {
	file := filepath.Join(t.TempDir(), "inputs.safetensors")
	var b bytes.Buffer
	require.NoError(t, checkpoint.WriteSafetensors(&b, tensors))
	require.NoError(t, os.WriteFile(file, b.Bytes(), 0o666))
	return file
}

// What a file gives is what the graph runs on, in the graph's dtypes; what it leaves out of
// weights and states comes by seed. Results are summed up, and written as they are.
func TestGraphOfAFile(t *testing.T) {
	m := graphFile(t, mixed)
	x := checkpoint.Tensor{Name: "x", DType: dtype.F32, Shape: []int64{2, 4}, Data: f32s(1, -2, 3.5, 4, 0, 0.5, -8, 1)}
	ids := checkpoint.Tensor{Name: "ids", DType: dtype.I32, Shape: []int64{2}, Data: i32s(7, -3)}
	rows := checkpoint.Tensor{Name: "rows", DType: dtype.F32, Shape: []int64{1, 2, 4}, Data: f32s(1, 2, 3, 4, 5, 6, 7, 8)}
	w := checkpoint.Tensor{Name: "w", DType: dtype.F32, Shape: []int64{3, 4}, Data: f32s(1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 1)}
	kv := checkpoint.Tensor{Name: "kv", DType: dtype.F32, Shape: []int64{1, 4, 4}, Data: f32s(slices.Repeat([]float32{9}, 16)...)}
	run := func(o GraphOptions) (*GraphRun, error) {
		o.Device = engine.Ref
		return RunGraph(context.Background(), m, o)
	}
	r, err := run(GraphOptions{T: 2, P: 1, Inputs: inputs(t, x, ids, rows, w, kv)})
	require.NoError(t, err)
	require.Equal(t, []any{"mixed.fir", "ref", int64(2), int64(1)}, []any{r.Model, r.Device, r.T, r.P})
	of := map[string]GraphResult{}
	for _, g := range r.Results {
		of[g.Name] = g
	}
	require.Equal(t, []float32{1, -2, 6.5, 0, 0.5, -6.5}, of["y"].Tensor.Float32s())
	require.Equal(t, append(append(slices.Repeat([]float32{9}, 4), 1, 2, 3, 4, 5, 6, 7, 8), 9, 9, 9, 9), of["kv"].Tensor.Float32s())
	rms := func(v ...float64) float64 {
		sum := 0.0
		for _, x := range v {
			sum += x * x
		}
		return math.Sqrt(sum / float64(len(v)))
	}
	for name, want := range map[string]GraphResult{
		"y":     {Name: "y", DType: dtype.F32, Shape: []int{2, 3}, Mean: -0.5 / 6, RMS: rms(1, -2, 6.5, 0, 0.5, -6.5), Min: -6.5, Max: 6.5},
		"ids":   {Name: "ids", DType: dtype.I32, Shape: []int{2}, Mean: 2, RMS: rms(7, -3), Min: -3, Max: 7},
		"twice": {Name: "twice", DType: dtype.F32, Shape: []int{2, 4}, Mean: 0, RMS: rms(2, -4, 7, 8, 0, 1, -16, 2), Min: -16, Max: 8},
		"kv":    {Name: "kv", DType: dtype.F16, Shape: []int{1, 4, 4}, Mean: 108.0 / 16, RMS: math.Sqrt((8*81 + 204) / 16.0), Min: 1, Max: 9},
	} {
		got := of[name]
		got.Tensor = interp.Tensor{}
		require.InDelta(t, want.Mean, got.Mean, 1e-12, name)
		got.Mean = want.Mean
		require.Equal(t, want, got)
	}
	file := filepath.Join(t.TempDir(), "out.safetensors")
	var b bytes.Buffer
	require.NoError(t, r.Write(&b))
	require.NoError(t, os.WriteFile(file, b.Bytes(), 0o666))
	src, err := checkpoint.Open(file)
	require.NoError(t, err)
	defer src.Close()
	info, _ := src.Info("kv")
	require.Equal(t, []any{dtype.F16, []int64{1, 4, 4}}, []any{info.DType, info.Shape})
	back, err := checkpoint.ReadAs(src, "ids", dtype.I32, nil)
	require.NoError(t, err)
	require.Equal(t, i32s(7, -3), back)

	// By seed: the same is the same, another is another, and the file's stay.
	some := inputs(t, x, ids, rows)
	one, err := run(GraphOptions{T: 2, Inputs: some, Seed: 1})
	require.NoError(t, err)
	again, err := run(GraphOptions{T: 2, Inputs: some, Seed: 1})
	require.NoError(t, err)
	require.Equal(t, one, again)
	two, err := run(GraphOptions{T: 2, Inputs: some, Seed: 2})
	require.NoError(t, err)
	require.NotEqual(t, one.Results[0].Tensor, two.Results[0].Tensor)
	require.NotEqual(t, one.Results[1].Tensor, two.Results[1].Tensor)
	require.Equal(t, one.Results[2].Tensor, two.Results[2].Tensor)
	all, err := run(GraphOptions{Seed: 1})
	require.NoError(t, err)
	require.Equal(t, []int64{4, 0}, []int64{all.T, all.P}, "as many tokens as there may be")
	rest, err := run(GraphOptions{P: 3})
	require.NoError(t, err)
	require.EqualValues(t, 1, rest.T)

	wrong := x
	wrong.Shape = []int64{4, 2}
	more := x
	more.Name = "z"
	for want, o := range map[string]GraphOptions{
		`input "rows" is missing`:                                    {T: 2, Inputs: inputs(t, x, ids)},
		`tensor "x" has shape [4 2], the graph wants [2 4]`:          {T: 2, Inputs: inputs(t, wrong, ids, rows)},
		`the graph has no param "z"`:                                 {T: 2, Inputs: inputs(t, x, ids, rows, more)},
		"T=5 P=0 lies outside the graph's bounds T=1..4 P=0..3 S<=4": {T: 5},
		"T=3 P=2 lies outside":                                       {T: 3, P: 2},
		"no such model file":                                         {T: 2, Inputs: "none.safetensors"},
	} {
		_, err := run(o)
		require.ErrorContains(t, err, want)
	}
	_, err = RunGraph(context.Background(), m, GraphOptions{Device: "tpu"})
	require.ErrorContains(t, err, "tpu")
}

// Numbers that JSON lacks are written as words.
func TestResultsThatAreNoNumbers(t *testing.T) {
	text, err := json.Marshal(GraphResult{Name: "y", DType: dtype.F32, Shape: []int{2}, Mean: math.NaN(), RMS: math.Inf(1), Min: math.Inf(-1), Max: 1.5})
	require.NoError(t, err)
	require.JSONEq(t, `{"name":"y","dtype":"f32","shape":[2],"mean":"NaN","rms":"+Inf","min":"-Inf","max":1.5}`, string(text))
	require.Equal(t, f32s(1.5), bytesOf(interp.Tensor{DType: dtype.F32, Shape: []int{1}, F32: []float32{1.5}}))
}

// An evaluation has the logits of each position, the ids that follow and what the plan
// dispatches; quality is how far narrow weights lie from f32 ones, by the same logits.
func TestPromptAndQuality(t *testing.T) {
	m, err := model.Open("", checkpoint.Hub{})
	require.NoError(t, err)
	defer m.Close()
	ctx, ids := context.Background(), []int32{40, 77, 258}
	logits := func(w dtype.Type, all bool) *Evaluation {
		e, err := engine.Start(ctx, m, engine.Options{Device: engine.Ref, Compile: compile.Options{Weights: w, Cache: dtype.F32, Context: 8, AllLogits: all}})
		require.NoError(t, err)
		defer e.Close()
		out, err := Prompt(ctx, e, Options{IDs: ids, Top: 2, Greedy: 2})
		require.NoError(t, err)
		return out
	}
	want, narrow := logits(dtype.F32, true), logits(dtype.Q4_0, true)
	vocab := len(want.Logits) / 3
	last := want.Logits[2*vocab:]
	require.Equal(t, largest(last), int(want.Top[0].ID))
	require.Equal(t, want.Top[0].ID, want.GreedyIDs[0])
	require.Len(t, want.Top, 2)
	require.Equal(t, want.Top[0].Logit-want.Top[1].Logit, want.GreedyMargins[0])
	require.Len(t, want.GreedyIDs, 2)
	require.Positive(t, want.Dispatches)
	require.Greater(t, want.Dispatches, want.Waves-1)
	require.NotEmpty(t, want.Target)
	require.Contains(t, want.Passes, "fuse-")
	var b bytes.Buffer
	require.NoError(t, want.WriteLogits(&b))
	require.True(t, bytes.HasSuffix(b.Bytes(), f32s(want.Logits...)))
	require.Contains(t, strings.ReplaceAll(b.String(), " ", ""), `"shape":[3,`)
	few := logits(dtype.F32, false)
	require.Nil(t, few.Logits)
	require.ErrorContains(t, few.WriteLogits(&b), "last row's logits only")
	require.Equal(t, want.GreedyIDs, few.GreedyIDs)

	var told [][]Quality
	q, err := MeasureQuality(ctx, m, QualityOptions{IDs: ids, Weights: []dtype.Type{dtype.F32, dtype.Q4_0}, Start: engine.Options{Device: engine.Ref}, Measured: func(q []Quality) { told = append(told, q) }})
	require.NoError(t, err)
	require.Equal(t, [][]Quality{q[:1], q}, told)
	require.Equal(t, Quality{Weights: dtype.F32, Bytes: q[0].Bytes, Positions: 3, Top1: 1}, q[0])
	require.Greater(t, float64(q[0].Bytes), 6*float64(q[1].Bytes))
	expect := Quality{Weights: dtype.Q4_0, Bytes: q[1].Bytes, Positions: 3, NMSE: interp.Compare(narrow.Logits, want.Logits).NMSE}
	for i := range 3 {
		a, b := want.Logits[i*vocab:(i+1)*vocab], narrow.Logits[i*vocab:(i+1)*vocab]
		there, back := interp.KL(a, b)
		expect.KL, expect.KLReverse, expect.WorstKL = expect.KL+there/3, expect.KLReverse+back/3, max(expect.WorstKL, there)
		if largest(a) == largest(b) {
			expect.Top1 += 1.0 / 3
		}
	}
	for _, pair := range [][2]float64{{expect.NMSE, q[1].NMSE}, {expect.KL, q[1].KL}, {expect.KLReverse, q[1].KLReverse}, {expect.WorstKL, q[1].WorstKL}} {
		require.Positive(t, pair[0])
		require.InEpsilon(t, pair[0], pair[1], 1e-9)
	}
	require.InDelta(t, expect.Top1, q[1].Top1, 1e-12)
	_, err = MeasureQuality(ctx, m, QualityOptions{})
	require.ErrorContains(t, err, "the text is empty")
	require.Equal(t, []int{0, 2, 1}, []int{largest([]float32{1}), largest([]float32{1, 2, 3, 3}), largest([]float32{-2, -1, -1})})
}
