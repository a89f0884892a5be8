package model

import (
	"fmt"
	"slices"
	"strings"

	"foundry/frontends/checkpoint"
	"foundry/frontends/decoder"
	"foundry/frontends/qwen25"
	"foundry/frontends/qwen3"
	"foundry/ir/names"
)

// families are those that Open takes.
var families = []*decoder.Family{
	&qwen25.Family,
	&qwen3.Family,
}

// parseConfig reads a config.json of any family.
func parseConfig(raw []byte) (decoder.Config, error) {
	var x struct {
		ModelType *string `json:"model_type"`
	}
	if err := decoder.ReadJSON(raw, &x); err != nil {
		return decoder.Config{}, fmt.Errorf("config.json: %w", err)
	}
	var known []string
	for _, f := range families {
		if x.ModelType != nil && *x.ModelType == f.ModelType {
			return f.Parse(raw)
		}
		known = append(known, f.ModelType)
	}
	what := "model_type is missing"
	if x.ModelType != nil {
		what = fmt.Sprintf("this is a %s model", names.Plain(*x.ModelType)) + whyRefused(*x.ModelType)
	}
	return decoder.Config{}, fmt.Errorf("config.json: %s; foundry compiles %s", what, strings.Join(known, " and "))
}

// whyRefused says what sets a model apart that bears the name of a family.
func whyRefused(modelType string) string {
	for _, f := range families {
		for _, r := range f.Refused {
			if slices.Contains(r.ModelTypes, modelType) {
				return ": " + r.Why
			}
		}
	}
	return ""
}

// PresetNames are the names that Open takes without a file: the embedded model's and those
// of published shapes.
func PresetNames() []string {
	out := []string{checkpoint.KJV2MName}
	for _, f := range families {
		for _, size := range f.SizeNames() {
			out = append(out, synthPrefix+strings.ToLower(f.Name)+"-"+size)
		}
	}
	return out
}

// openSynth opens a published shape with generated weights.
func openSynth(name string) (*Model, error) {
	var forms []string
	for _, f := range families {
		prefix := synthPrefix + strings.ToLower(f.Name) + "-"
		size, ok := strings.CutPrefix(name, prefix)
		if !ok {
			forms = append(forms, fmt.Sprintf("%sSIZE, with SIZE one of %s", prefix, strings.Join(f.SizeNames(), ", ")))
			continue
		}
		c, err := f.Preset(size)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		source, err := checkpoint.Synth(name, decoder.Weights(c), map[string][]byte{"config.json": c.JSON()})
		if err != nil {
			return nil, err
		}
		return newModel(name, source)
	}
	return nil, fmt.Errorf("%s: synthetic models are named %s", name, strings.Join(forms, ", or "))
}
