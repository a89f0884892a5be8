package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

// equivalent is a mistake after which nothing else can be computed, with the reason: one
// of Go or Metal text by its file and diff, one of a plan by its field and what is done.
type equivalent struct {
	Kind     string `json:"kind"`
	File     string `json:"file"`
	Diff     string `json:"diff"`
	Argument string `json:"argument"`
}

//go:embed equivalents.json
var equivalentsText []byte

// equivalents are those of equivalents.json.
type equivalents struct{ list []equivalent }

func readEquivalents(text []byte) (*equivalents, error) {
	e := &equivalents{}
	if err := json.Unmarshal(text, &e.list); err != nil {
		return nil, fmt.Errorf("equivalents.json: %w", err)
	}
	return e, nil
}

// argument says why a mistake changes nothing; "" where nobody has said so.
func (e *equivalents) argument(kind, file, diff string) string {
	for _, x := range e.list {
		if x.Kind == kind && x.File == file && x.Diff == diff {
			return x.Argument
		}
	}
	return ""
}

// mostEqual is the share of a kind's mutants that may be called equivalent.
const mostEqual = 0.05
