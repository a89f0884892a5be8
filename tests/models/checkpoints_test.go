package models

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"foundry"
	"foundry/frontends/checkpoint"
	"foundry/ir/dtype"
	"foundry/ir/interp"
	"foundry/tests/goldens"
	"foundry/tests/oncpu"
)

var updateCheckpoints = flag.Bool("update-checkpoints", false, "rewrite docs/checkpoints.md")

// TestCheckpointsDocument holds docs/checkpoints.md to what is read, what is refused by
// name, and how far logits lie from those of others; -update-checkpoints writes it.
func TestCheckpointsDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../testdata/checkpoints.md") // with {NAME} where a table is measured
	require.NoError(t, err)
	read, refused := ggufTypes(t)
	have := strings.NewReplacer(
		"{FAMILY}", familyTable(t), "{POSITIONS}", positionsTable(t), "{FOLDERS}", quantisedTable(t), "{GGUF}", ggufTable(t, read), "{REFUSED}", strings.Join(refused, ", "),
	).Replace(string(text))
	const file = "../../docs/checkpoints.md"
	if *updateCheckpoints {
		require.NoError(t, os.WriteFile(file, []byte(have), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), have, "docs/checkpoints.md is stale; write it with -update-checkpoints")
}

// decade is the power of ten that a measured error lies below: the digits differ from
// machine to machine.
func decade(nmse float64) string {
	if nmse == 0 {
		return "0"
	}
	return fmt.Sprintf("< 1e%d", int(math.Floor(math.Log10(nmse)))+1)
}

// familyTable runs the small forms of the family, or says how they are refused.
func familyTable(t *testing.T) string {
	t.Helper()
	f := readFamily(t)
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f.Members)) {
		x := f.Members[name]
		m, err := foundry.Open(f.folder(t, x), foundry.Hub{})
		if err != nil {
			_, reason, _ := strings.Cut(err.Error(), "config.json: ")
			fmt.Fprintf(&out, "| %s | refused: %s | |\n", name, reason)
			continue
		}
		t.Cleanup(func() { require.NoError(t, m.Close()) })
		want := goldens.Floats(t, f.goldens, name)
		have := lastLogits(t, m, foundry.Ref, foundry.CompileOptions{}, x.IDs, len(want))
		fmt.Fprintf(&out, "| %s | runs, up to %d tokens | %s |\n", name, m.Config.MaxPositions, decade(goldens.NMSE(have, want)))
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// positionsTable runs scaled RoPE and sliding windows on ref.
func positionsTable(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, v := range longVariants(t) {
		worst, _ := v.measure(t, foundry.Ref, foundry.CompileOptions{Variant: "default"})
		fmt.Fprintf(&out, "| %s | `%s` | %s |\n", v.name, v.change, decade(worst))
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// quantisedTable runs what others quantised on ref.
func quantisedTable(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	row := func(form, by, name string, m *foundry.Model, weights dtype.Type, ids []int32, want []float64) {
		have := oncpu.Evaluate(t, m, "ref", foundry.CompileOptions{Weights: weights}, ids).Logits
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", form, by, name, decade(interp.Compare(have[len(have)-len(want):], want).NMSE))
	}
	for _, x := range []struct{ dir, form, by string }{
		{"mlx-mixed", "MLX, 2 to 8 bits, groups of 32 and 64, a layer not quantised, f16", "mlx in float32"},
		{"gptq4-sym", "GPTQ, 4 bits, groups of 128, symmetric, g_idx, zero biases", "transformers in float32 on gptqmodel's dequantisation"},
		{"gptq4-v2", "GPTQ, 4 bits, groups of 32, zero points, gptq_v2", "transformers in float32 on gptqmodel's dequantisation"},
		{"gptq8", "GPTQ, 8 bits, groups of 64, zero points", "transformers in float32 on gptqmodel's dequantisation"},
		{"awq", "AWQ, gemm, groups of 64", "transformers in float32 on autoawq's dequantisation"},
	} {
		dir := filepath.Join(quantised, x.dir)
		m, err := foundry.Open(dir, foundry.Hub{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, m.Close()) })
		ids, logits := recorded(t, filepath.Join(dir, "logits.safetensors"), "logits")
		row(x.form, x.by, x.dir, m, dtype.Invalid, ids, logits)
	}
	m, err := foundry.Open("kjv-2m", foundry.Hub{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	for _, bits := range []string{"4", "8"} {
		w, err := dtype.ParseWeights("affine" + bits)
		require.NoError(t, err)
		ids, logits := recorded(t, quantised+"/kjv-2m.safetensors", "logits"+bits)
		row("kjv-2m, quantised at load with `--weights affine"+bits+"`", "mlx in float32 on mlx-lm's own quantisation", "kjv-2m", m, w, ids, logits)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// ggufTable holds the types that are read against the values that the gguf package
// reads from the same blocks.
func ggufTable(t *testing.T, read []dtype.Type) string {
	t.Helper()
	raw, err := os.ReadFile("../../ir/dtype/testdata/goldens.json")
	require.NoError(t, err)
	var goldens map[string]struct{ Blocks, Values string }
	require.NoError(t, json.Unmarshal(raw, &goldens))
	var out strings.Builder
	for _, typ := range read {
		per, size := typ.Block()
		by, nmse := "by definition", 0.0
		if typ.Quantised() {
			g, ok := goldens[typ.String()]
			require.True(t, ok, "%v", typ)
			blocks, err := hex.DecodeString(g.Blocks)
			require.NoError(t, err)
			values, err := hex.DecodeString(g.Values)
			require.NoError(t, err)
			n := len(values) / 4
			have := interp.Stored(typ, blocks, n).Float32s()
			nmse = interp.Compare(have, interp.Stored(dtype.F32, values, n).Float64s()).NMSE
			by = "the gguf package's dequantisation"
		}
		made := "read"
		if typ.CanQuantise() {
			made = "read and written"
		}
		fmt.Fprintf(&out, "| %s | %.4g | %s | %s | %s |\n", typ, 8*float64(size)/float64(per), made, by, decade(nmse))
	}
	return strings.TrimSuffix(out.String(), "\n")
}

var refusedType = regexp.MustCompile(`its type is (\S+), which is not supported`)

// ggufTypes tries every number of a tensor's type: those that are read, in the dtypes'
// order, and the names of those that are refused.
func ggufTypes(t *testing.T) (read []dtype.Type, refused []string) {
	t.Helper()
	source, err := checkpoint.KJV2M()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "x.gguf")
	require.NoError(t, checkpoint.WriteGGUF(t.Context(), path, source, dtype.Q8_0, nil, nil))
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	const first = "token_embd.weight" // model.embed_tokens.weight
	typeAt := bytes.Index(file, []byte(first)) + len(first) + 4 + 2*8
	known := map[dtype.Type]bool{}
	for number := range uint32(64) {
		// The type stands behind the name, the number of sizes and two of them.
		binary.LittleEndian.PutUint32(file[typeAt:], number)
		require.NoError(t, os.WriteFile(path, file, 0o600))
		s, err := checkpoint.Open(path)
		switch m := refusedType.FindStringSubmatch(fmt.Sprint(err)); {
		case m != nil:
			refused = append(refused, m[1])
		case err == nil:
			info, _ := s.Info("model.embed_tokens.weight")
			known[info.DType] = true
			require.NoError(t, s.Close())
		case bytes.Contains([]byte(err.Error()), []byte("the unknown number")):
		default: // a type whose bytes are not there; its name is in the message
			for _, typ := range dtype.AllButAffine() {
				if strings.Contains(err.Error(), " "+typ.String()+" blocks") {
					known[typ] = true
				}
			}
		}
	}
	for _, typ := range dtype.AllButAffine() {
		if known[typ] || typ.Float() {
			read = append(read, typ)
		}
	}
	require.Len(t, read, 15, "%v", read)
	return read, refused
}
