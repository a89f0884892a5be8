package checkpoint

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The numbers of ggml_type in ggml.h of llama.cpp: a file of any of them is read, or refused
// by that name.
func TestNumbersOfGGMLTypes(t *testing.T) {
	published := map[uint32]string{
		0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1",
		10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K",
		16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS",
		24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
	}
	for number, name := range published {
		d, err := ggmlType(number)
		if err != nil {
			require.ErrorContains(t, err, "its type is "+name+", which is not supported")
			continue
		}
		require.Equal(t, strings.ToLower(name), strings.ToLower(d.String()))
	}
	_, err := ggmlType(31) // one of those that were taken back
	require.ErrorContains(t, err, "the unknown number 31")
}

// llama.cpp's numbers of what most tensors of a file are (llama_ftype).
func TestFileTypes(t *testing.T) {
	require.Equal(t, map[string]uint32{"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k": 11, "q4_k": 14, "q5_k": 16,
		"q6_k": 18, "iq4_nl": 25, "iq4_xs": 30, "bf16": 32}, func() map[string]uint32 {
		out := map[string]uint32{}
		for d, n := range fileTypes {
			out[d.String()] = n
		}
		return out
	}())
}
