package checkpoint

import (
	"embed"
	"errors"
	"io/fs"
)

// KJV2MName is the name of the embedded model.
const KJV2MName = "kjv-2m"

// A Qwen2.5-architecture model of 2.36 million parameters, trained on the King
// James Version (public domain), in the layout of a Hugging Face folder.
//
//go:embed kjv2m
var kjv2m embed.FS

// KJV2M opens the model that is embedded in the program: 5 layers, hidden size
// 192, vocabulary 2,048, bf16.
func KJV2M() (Source, error) {
	data, err := kjv2m.ReadFile("kjv2m/" + singleFile)
	if err != nil {
		return nil, err
	}
	tensors, err := parseSafetensors(KJV2MName+"/"+singleFile, data)
	if err != nil {
		return nil, err
	}
	file := func(name string) ([]byte, error) {
		b, err := kjv2m.ReadFile("kjv2m/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, missingFile(KJV2MName, name)
		}
		return b, err
	}
	return &store{label: KJV2MName, tensors: tensors, file: file}, nil
}
