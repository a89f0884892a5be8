package tokenizer

import (
	"fmt"

	"github.com/dlclark/regexp2"

	"foundry/ir/names"
)

// gpt2Pattern is the pattern that ByteLevel splits by where it is told to.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// preTokenizer is the pre_tokenizer of a tokenizer.json, or one of a sequence of them.
type preTokenizer struct {
	Type          string          `json:"type"`
	Pretokenizers []*preTokenizer `json:"pretokenizers"`
	Pattern       struct {
		Regex  *string `json:"Regex"`
		String *string `json:"String"`
	} `json:"pattern"`
	Behavior         string `json:"behavior"`
	Invert           bool   `json:"invert"`
	IndividualDigits bool   `json:"individual_digits"`
	AddPrefixSpace   bool   `json:"add_prefix_space"`
	UseRegex         *bool  `json:"use_regex"` // the use of the regular expression; absent means true
}

// splits returns the steps of a pre-tokenizer whose last part is ByteLevel.
func (p *preTokenizer) splits() ([]Split, error) {
	const want = "want ByteLevel, or a Sequence of Split and Digits that ends with it"
	if p == nil {
		return nil, fmt.Errorf("there is no pre_tokenizer: %s", want)
	}
	parts := []*preTokenizer{p}
	if p.Type == "Sequence" {
		parts = p.Pretokenizers
	}
	if n := len(parts); n == 0 || parts[n-1] == nil || parts[n-1].Type != "ByteLevel" {
		return nil, fmt.Errorf("pre_tokenizer %q is not supported: %s", p.Type, want)
	}
	var out []Split
	for i, part := range parts {
		if part == nil || part.Type == "ByteLevel" && i < len(parts)-1 {
			return nil, fmt.Errorf("pre_tokenizer %d is not supported: %s", i+1, want)
		}
		split, err := part.split()
		if err != nil {
			return nil, fmt.Errorf("pre_tokenizer %d, %s: %w", i+1, names.Plain(part.Type), err)
		}
		if split.Pattern != "" {
			out = append(out, split)
		}
	}
	if len(out) == 0 { // the bytes of all text are merged as one piece
		out = []Split{{Pattern: `(?s).+`}}
	}
	return out, nil
}

// split returns one step; none for ByteLevel without a pattern, which only spells bytes.
func (p *preTokenizer) split() (Split, error) {
	switch p.Type {
	case "ByteLevel":
		if p.AddPrefixSpace {
			return Split{}, fmt.Errorf("add_prefix_space is not supported")
		}
		if p.UseRegex == nil || *p.UseRegex {
			return Split{Pattern: gpt2Pattern}, nil
		}
		return Split{}, nil
	case "Digits":
		if p.IndividualDigits {
			return Split{Pattern: `\p{N}`}, nil
		}
		return Split{Pattern: `\p{N}+`}, nil
	case "Split":
		s := Split{}
		switch {
		case p.Pattern.Regex != nil:
			s.Pattern = *p.Pattern.Regex
		case p.Pattern.String != nil:
			s.Pattern = regexp2.Escape(*p.Pattern.String)
		}
		switch {
		case s.Pattern == "":
			return s, fmt.Errorf("there is no pattern")
		case p.Behavior == "Isolated": // whatever invert says: matches and what lies between are pieces
		case p.Behavior == "Removed" && p.Invert:
			s.MatchesOnly = true
		default:
			return s, fmt.Errorf("the behavior %q (invert %v) is not supported (Isolated is)", p.Behavior, p.Invert)
		}
		return s, nil
	}
	return Split{}, fmt.Errorf("it is not supported")
}
