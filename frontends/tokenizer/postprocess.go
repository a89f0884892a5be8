package tokenizer

import (
	"fmt"
	"slices"
)

// postProcessor is the post_processor of a tokenizer.json: what it puts around the ids
// of a text.
type postProcessor struct {
	Type       string           `json:"type"`
	Processors []*postProcessor `json:"processors"` // the parts of a Sequence
	// Of TemplateProcessing: the parts of a single text, and the ids of their tokens.
	Single []struct {
		SpecialToken *struct {
			ID string `json:"id"`
		} `json:"SpecialToken"`
		Sequence *struct {
			ID string `json:"id"`
		} `json:"Sequence"`
	} `json:"single"`
	SpecialTokens map[string]struct {
		IDs []int32 `json:"ids"`
	} `json:"special_tokens"`
}

// endTokens returns the ids before and behind a text's own.
func (p *postProcessor) endTokens() (prefix, suffix []int32, err error) {
	if p == nil {
		return nil, nil, nil
	}
	switch p.Type {
	case "ByteLevel": // which moves offsets only
		return nil, nil, nil
	case "Sequence":
		for _, part := range p.Processors { // each puts its ids around those of the one before
			before, behind, err := part.endTokens()
			if err != nil {
				return nil, nil, err
			}
			prefix, suffix = slices.Concat(before, prefix), slices.Concat(suffix, behind)
		}
		return prefix, suffix, nil
	case "TemplateProcessing":
		return p.template()
	}
	return nil, nil, fmt.Errorf("post_processor %q is not supported (none, ByteLevel, TemplateProcessing and Sequence are)", p.Type)
}

func (p *postProcessor) template() (prefix, suffix []int32, err error) {
	texts := 0
	for _, part := range p.Single {
		switch {
		case part.Sequence != nil && part.Sequence.ID == "A":
			texts++
		case part.SpecialToken != nil:
			token, known := p.SpecialTokens[part.SpecialToken.ID]
			if !known || len(token.IDs) == 0 {
				return nil, nil, fmt.Errorf("post_processor: special token %q has no ids", part.SpecialToken.ID)
			}
			if texts == 0 {
				prefix = append(prefix, token.IDs...)
			} else {
				suffix = append(suffix, token.IDs...)
			}
		default:
			return nil, nil, fmt.Errorf("post_processor: a part of single is neither a special token nor the text, A")
		}
	}
	if texts != 1 {
		return nil, nil, fmt.Errorf("post_processor: single holds the text %d times, want once", texts)
	}
	return prefix, suffix, nil
}
