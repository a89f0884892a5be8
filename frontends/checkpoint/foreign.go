package checkpoint

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ConfigOf returns the config.json of a folder, or beside a .safetensors file. The error
// wraps fs.ErrNotExist where there is none.
func ConfigOf(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	dir := path
	if !info.IsDir() {
		if !strings.HasSuffix(path, ".safetensors") {
			return nil, fmt.Errorf("%s has no config.json beside it: %w", path, fs.ErrNotExist)
		}
		dir = filepath.Dir(path)
	}
	return folderFile(dir)("config.json")
}

// foreign are the files that others keep weights in, and the way from there to
// safetensors. A name may begin with a star.
var foreign = []struct{ name, kind, way string }{
	{"pytorch_model*.bin", "a PyTorch checkpoint", "load it with transformers and save it with save_pretrained(safe_serialization=True)"},
	{"*.pth", "a PyTorch checkpoint", "load it with torch and save its tensors with safetensors.torch.save_file"},
	{"*.npz", "an older MLX checkpoint", "convert the model anew with mlx_lm.convert, which writes safetensors"},
	{"tf_model.h5", "a TensorFlow checkpoint", "load it with transformers (from_tf=True) and save it with save_pretrained"},
	{"flax_model.msgpack", "a Flax checkpoint", "load it with transformers (from_flax=True) and save it with save_pretrained"},
	{"*.onnx", "an ONNX graph", "take the model that it was made from"},
	{"*.gguf", "a GGUF file", "give the path of the file itself"},
}

// withoutTensors is the error of a folder that holds no safetensors, which names what it
// holds instead.
func withoutTensors(dir string) error {
	for _, f := range foreign {
		found, err := filepath.Glob(filepath.Join(escapeGlob(dir), f.name))
		if err == nil && len(found) > 0 {
			return fmt.Errorf("%s: %s is %s, which foundry does not read from a folder; %s", dir, filepath.Base(found[0]), f.kind, f.way)
		}
	}
	return fmt.Errorf("%s: neither %s nor %s is in this folder", dir, singleFile, indexFile)
}

// escapeGlob keeps a folder's name from being a pattern.
func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}
