package qwen25

import (
	"errors"
	"fmt"
	"math"

	"foundry/frontends/decoder"
)

// family is what sets apart the models that share Qwen2.5's architecture: obeyed, or
// refused by name.
type family struct {
	Causal    *bool      `json:"is_causal"`
	MRope     bool       `json:"use_mrope"`
	DualChunk *dualChunk `json:"dual_chunk_attention_config"`
}

func further(raw []byte) (most int, err error) {
	var f family
	if err := decoder.ReadJSON(raw, &f); err != nil {
		return 0, err
	}
	return f.DualChunk.positions(), f.supported()
}

func (f *family) supported() error {
	switch {
	case f.Causal != nil && !*f.Causal:
		return errors.New("is_causal is false: the model attends to what follows too, as embedding models do; foundry compiles causal attention only")
	case f.MRope:
		return errors.New("use_mrope is true: the model turns by places in pictures; foundry compiles models of text")
	}
	return f.DualChunk.supported()
}

// dualChunk is the attention of the models with a million tokens (An et al., 2024,
// "Training-Free Long-Context Scaling of Large Language Models"). It is plain attention
// for the first tokens, and texts of no more foundry runs.
type dualChunk struct {
	Chunk    int64  `json:"chunk_size"`
	Local    int64  `json:"local_size"`
	Original *int64 `json:"original_max_position_embeddings"`
	Sparse   bool   `json:"sparse_attention_enabled"`
}

func (d *dualChunk) supported() error {
	switch {
	case d == nil:
		return nil
	case d.Sparse:
		return errors.New("dual_chunk_attention_config: sparse attention is not supported")
	case d.Local < 0 || d.Chunk <= d.Local || d.Chunk > math.MaxInt32:
		return fmt.Errorf("dual_chunk_attention_config: chunk_size is %d and local_size %d, want 0 <= local_size < chunk_size <= %d", d.Chunk, d.Local, math.MaxInt32)
	case d.Original != nil && *d.Original < 1:
		return fmt.Errorf("dual_chunk_attention_config: original_max_position_embeddings is %d, want 1 and more", *d.Original)
	}
	return nil
}

// positions is how many tokens attend plainly. Keys are turned by their places in blocks
// of chunk_size - local_size, and a query of the second block by its own position for the
// keys of the first as long as that is not above chunk_size. Of texts longer than
// original_max_position_embeddings all queries are scaled by their length.
func (d *dualChunk) positions() int {
	switch {
	case d == nil:
		return 0
	case d.Original != nil:
		return int(min(d.Chunk, *d.Original))
	}
	return int(d.Chunk)
}
