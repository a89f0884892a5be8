package checkpoint

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"foundry/ir/dtype"
)

// MixName is the name of the mix that WriteMix writes.
const MixName = "q4_k_m"

// fileTypeMix is GGUF's number for it.
const fileTypeMix = 15

var layerName = regexp.MustCompile(`^model\.layers\.(\d+)\.(.+)$`)

// q4kmTypes gives matrices their types by what they are for, as llama.cpp's Q4_K_M does:
// q6_k for the head (the embedding, where it is the head too), and for the value and
// down projections of the first and the last eighth of the layers and of every third
// between; q4_k for all else. Rows that blocks of 256 do not divide take q8_0 in q6_k's
// place and q5_0 in q4_k's, where blocks of 32 divide them, otherwise f16.
func q4kmTypes(s Source) typeChoice {
	layers, tensors := 0, modelTensors(s)
	for _, name := range tensors {
		if m := layerName.FindStringSubmatch(name); m != nil {
			n, _ := strconv.Atoi(m[1])
			layers = max(layers, n+1)
		}
	}
	untied := slices.Contains(tensors, "lm_head.weight")
	more := func(name string) bool {
		if name == "lm_head.weight" || name == "model.embed_tokens.weight" && !untied {
			return true
		}
		m := layerName.FindStringSubmatch(name)
		if m == nil || !strings.HasSuffix(m[2], "v_proj.weight") && !strings.HasSuffix(m[2], "down_proj.weight") {
			return false
		}
		n, _ := strconv.Atoi(m[1])
		eighth := layers / 8
		return n < eighth || n >= 7*layers/8 || (n-eighth)%3 == 2
	}
	return func(name string, info Info) dtype.Type {
		types := []dtype.Type{dtype.Q4_K, dtype.Q5_0}
		if more(name) {
			types = []dtype.Type{dtype.Q6_K, dtype.Q8_0}
		}
		for _, t := range types {
			if StoredAs(t, info) == t {
				return t
			}
		}
		return StoredAs(types[0], info)
	}
}

// WriteMix is WriteGGUF with the types of the mix q4_k_m.
func WriteMix(ctx context.Context, path string, s Source, report func(tensor string, n Narrowing), progress func(done, of int)) error {
	if err := writeGGUF(ctx, path, s, q4kmTypes(s), fileTypeMix, report, progress); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}
