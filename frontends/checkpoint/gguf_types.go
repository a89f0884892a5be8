package checkpoint

import (
	"fmt"
	"maps"

	"foundry/ir/dtype"
)

// ggmlTypes are the tensor types of the format that are read here, by GGML's
// number.
var ggmlTypes = map[uint32]dtype.Type{
	0: dtype.F32, 1: dtype.F16, 30: dtype.BF16, 26: dtype.I32,
	8: dtype.Q8_0, 2: dtype.Q4_0, 3: dtype.Q4_1, 6: dtype.Q5_0, 7: dtype.Q5_1,
	10: dtype.Q2_K, 11: dtype.Q3_K, 12: dtype.Q4_K, 13: dtype.Q5_K, 14: dtype.Q6_K,
	20: dtype.IQ4_NL, 23: dtype.IQ4_XS,
}

// otherGGMLTypes names the types that are not read.
var otherGGMLTypes = map[uint32]string{
	9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S", 22: "IQ2_S", 24: "I8", 25: "I16", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0",
	39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
}

// ggmlType returns the type of a number; the error names it and what to take instead.
func ggmlType(number uint32) (dtype.Type, error) {
	if t, ok := ggmlTypes[number]; ok {
		return t, nil
	}
	name, known := otherGGMLTypes[number]
	if !known {
		name = fmt.Sprintf("the unknown number %d", number)
	}
	return dtype.Invalid, fmt.Errorf("its type is %s, which is not supported; take a file of the model in one of the types that are: %s", name, typeNames(maps.Values(ggmlTypes)))
}
