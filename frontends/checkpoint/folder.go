package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"foundry/runtime/files"
)

const (
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
)

// openFolder opens a Hugging Face folder: model.safetensors, or the shards that
// model.safetensors.index.json lists.
func openFolder(dir string) (Source, error) {
	single := filepath.Join(dir, singleFile)
	if err := files.Dangling(single); err != nil {
		return nil, err
	}
	if _, err := os.Stat(single); err == nil {
		s, err := openFile(single)
		if err != nil {
			return nil, err
		}
		s.(*store).label = dir
		return s, nil
	}
	raw, err := files.Read(filepath.Join(dir, indexFile), fileLimit(indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, withoutTensors(dir)
	}
	if err != nil {
		return nil, err
	}
	shardOf, err := parseIndex(filepath.Join(dir, indexFile), raw)
	if err != nil {
		return nil, err
	}
	return openShards(dir, shardOf)
}

// parseIndex reads the index: the shard file of each tensor.
func parseIndex(path string, raw []byte) (map[string]string, error) {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("%s: not the JSON of a shard index: %w", path, err)
	}
	if len(index.WeightMap) == 0 {
		return nil, fmt.Errorf("%s: weight_map is missing or empty", path)
	}
	for _, name := range slices.Sorted(maps.Keys(index.WeightMap)) {
		shard := index.WeightMap[name]
		if shard != filepath.Base(shard) || !filepath.IsLocal(shard) || shard == "." || strings.ContainsFunc(shard, unicode.IsControl) {
			return nil, fmt.Errorf("%s: tensor %q: %q is not the name of a file in this folder", path, name, shard)
		}
	}
	return index.WeightMap, nil
}

// openShards maps every shard and checks that index and shards name the same
// tensors.
func openShards(dir string, shardOf map[string]string) (_ Source, err error) {
	s := &store{label: dir, tensors: make(map[string]stored, len(shardOf)), file: folderFile(dir)}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	names := slices.Sorted(maps.Keys(shardOf))
	shards := map[string]map[string]stored{}
	for _, name := range names {
		shard := shardOf[name]
		if shards[shard] == nil {
			path := filepath.Join(dir, shard)
			if err := files.Dangling(path); err != nil {
				return nil, err
			}
			m, err := mapFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("%s: shard %s is missing; %s puts tensor %q there", dir, shard, indexFile, name)
			}
			if err != nil {
				return nil, err
			}
			s.files = append(s.files, m)
			if shards[shard], err = parseSafetensors(path, m.data); err != nil {
				return nil, err
			}
		}
		t, ok := shards[shard][name]
		if !ok {
			return nil, fmt.Errorf("%s: tensor %q is not in %s, where %s puts it", dir, name, shard, indexFile)
		}
		s.tensors[name] = t
	}
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		for _, name := range slices.Sorted(maps.Keys(shards[shard])) {
			if shardOf[name] != shard {
				return nil, fmt.Errorf("%s: tensor %q is in %s, but %s does not put it there", dir, name, shard, indexFile)
			}
		}
	}
	return s, nil
}
