package checkpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"foundry/ir/dtype"
	"foundry/runtime/files"
)

// shardBytes is how many bytes of tensors a file of a folder has at most, as mlx-lm
// cuts them.
const shardBytes = 5 << 30

// carried are the files that a written folder takes over.
var carried = []string{
	"generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json", toolTemplateFile,
}

// WriteFolder writes a checkpoint as a folder of safetensors: its matrices in the
// given type or, for dtype.Invalid, in the one they have; all else as stored. Affine
// matrices are written as MLX has them, with their settings in config.json; others
// must be floats. A matrix whose rows do not divide into groups becomes f16. report
// and progress may be nil. The folder appears complete or not at all; there must be
// none of that name.
func WriteFolder(ctx context.Context, dir string, s Source, weights dtype.Type, report func(tensor string, n Narrowing), progress func(done, of int)) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot write %s: %w", dir, Cause(s, err))
		}
	}()
	dir = filepath.Clean(dir)
	if _, err := os.Lstat(dir); err == nil {
		return errExists
	}
	items, quantization, err := folderItems(s, weights, report)
	if err != nil {
		return err
	}
	config, err := folderConfig(s, quantization)
	if err != nil {
		return err
	}
	temp, err := files.Folder(filepath.Dir(dir), filepath.Base(dir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, temp.Remove()) }() // of which nothing is left where it was renamed
	defer temp.Until(ctx)()
	if err := os.WriteFile(filepath.Join(temp.Path, "config.json"), config, 0o644); err != nil {
		return err
	}
	for _, name := range carried {
		b, err := s.File(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = writeCarried(filepath.Join(temp.Path, name), b)
		}
		if err != nil {
			return err
		}
	}
	if err := writeShards(ctx, temp.Path, items, shardBytes, progress); err != nil {
		return err
	}
	if err := os.Chmod(temp.Path, 0o755); err != nil {
		return err
	}
	err = os.Rename(temp.Path, dir)
	if errors.Is(err, fs.ErrExist) { // another process made it meanwhile
		return errExists
	}
	return err
}

var errExists = errors.New("it exists already")

// writeCarried writes a file, in a folder of its own where its name says so.
func writeCarried(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// folderItems lists the tensors of a folder, and the settings of those that are
// quantised by their layers.
func folderItems(s Source, weights dtype.Type, report func(tensor string, n Narrowing)) ([]item, map[string]mlxSettings, error) {
	var items []item
	quantization := map[string]mlxSettings{}
	for _, name := range modelTensors(s) {
		info, _ := s.Info(name)
		t := info.DType
		if len(info.Shape) == 2 && weights != dtype.Invalid {
			t = StoredAs(weights, info)
		}
		a, affine := t.Affine()
		if !affine {
			entry, err := entryOf(name, t, info.Shape)
			if err != nil {
				return nil, nil, fmt.Errorf("tensor %q is %v: a folder holds floats and affine types with biases; give --weights affine4", name, t)
			}
			items = append(items, item{[]headerTensor{entry}, func() ([]byte, error) { return readReported(s, name, t, report) }})
			continue
		}
		layer, isWeight := strings.CutSuffix(name, ".weight")
		switch {
		case a.Zeros:
			return nil, nil, fmt.Errorf("tensor %q is %v: MLX has no zero points; give --weights affine4", name, t)
		case !isWeight:
			return nil, nil, fmt.Errorf("tensor %q is no weight of a layer, MLX quantises no other", name)
		}
		quantization[layer] = mlxSettings{Group: a.Group, Bits: a.Bits, Mode: "affine"}
		items = append(items, mlxItem(s, layer, t, a, info, report))
	}
	return items, quantization, nil
}

// mlxItem is the three tensors of an affine matrix.
func mlxItem(s Source, layer string, t dtype.Type, a dtype.Affine, info Info, report func(tensor string, n Narrowing)) item {
	rows, groups := info.Shape[0], info.Shape[1]/int64(a.Group)
	_, scale := a.Scales.Block()
	plane := rows * groups * int64(scale)
	words := []int64{rows, info.Shape[1] * int64(a.Bits) / 32}
	numbers := []int64{rows, groups}
	word := safetensorNames[a.Scales]
	return item{[]headerTensor{
		{layer + ".weight", "U32", words, 4 * words[0] * words[1]},
		{layer + ".scales", word, numbers, plane},
		{layer + ".biases", word, numbers, plane},
	}, func() ([]byte, error) {
		blocks, err := readReported(s, layer+".weight", t, report)
		if err != nil {
			return nil, err
		}
		out := make([]byte, len(blocks))
		levels, scales, biases := out[:4*words[0]*words[1]], out[4*words[0]*words[1]:][:plane], out[int64(len(out))-plane:]
		_, size := t.Block()
		q := size - 2*scale
		parallel(len(blocks)/size, convertGrain/a.Group, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				s, b, level := a.Split(blocks[i*size : (i+1)*size])
				copy(scales[i*scale:], s)
				copy(biases[i*scale:], b)
				copy(levels[i*q:], level)
			}
		})
		return out, nil
	}}
}

// folderConfig is the source's config.json with the settings that most layers have,
// and each other layer's, where there are any.
func folderConfig(s Source, quantization map[string]mlxSettings) ([]byte, error) {
	raw, err := s.File("config.json")
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // as they were written
	var config map[string]any
	if err := d.Decode(&config); err != nil {
		return nil, fmt.Errorf("config.json is not readable: %w", err)
	}
	delete(config, "quantization")
	delete(config, "quantization_config")
	if len(quantization) > 0 {
		count := map[mlxSettings]int{}
		var most mlxSettings
		for _, layer := range s.Names() {
			if x, ok := quantization[strings.TrimSuffix(layer, ".weight")]; ok {
				if count[x]++; count[x] > count[most] {
					most = x
				}
			}
		}
		settings := map[string]any{"group_size": most.Group, "bits": most.Bits, "mode": most.Mode}
		for layer, x := range quantization {
			if x != most {
				settings[layer] = x
			}
		}
		config["quantization"], config["quantization_config"] = settings, settings
	}
	return json.MarshalIndent(config, "", "  ")
}

// writeShards writes items as one file, or as several of at most so many bytes with an index.
func writeShards(ctx context.Context, dir string, items []item, most int64, progress func(done, of int)) error {
	var shards [][]item
	room, total := int64(0), int64(0)
	for _, x := range items {
		size := int64(0)
		for _, t := range x.tensors {
			size += t.bytes
		}
		if len(shards) == 0 || size > room {
			shards, room = append(shards, nil), most
		}
		last := len(shards) - 1
		shards[last] = append(shards[last], x)
		room, total = room-size, total+size
	}
	done := 0
	weightMap := map[string]string{}
	for i, shard := range shards {
		name := singleFile
		if len(shards) > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		}
		for j, x := range shard {
			for _, t := range x.tensors {
				weightMap[t.name] = name
			}
			data := x.data
			shard[j].data = func() ([]byte, error) {
				if done++; progress != nil {
					progress(done, len(items))
				}
				return data()
			}
		}
		err := files.Write(ctx, filepath.Join(dir, name), func(w io.Writer) error {
			return files.Guard(func() error { return writeItems(w, shard, map[string]string{"format": "mlx"}) })
		})
		if err != nil {
			return err
		}
	}
	if len(shards) < 2 {
		return nil
	}
	index, err := json.MarshalIndent(map[string]any{"metadata": map[string]any{"total_size": total}, "weight_map": weightMap}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, indexFile), index, 0o644)
}
