package checkpoint

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// A model may be split over several GGUF files, NAME-00001-of-00003.gguf and so on.
// Each says how many there are and which one it is; the first has the metadata, and
// may have no tensors.

var splitName = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`)

// splitCount is how many files the model is split over: 1 where it is not.
func (f *gguf) splitCount() (uint64, error) {
	v, given := f.meta["split.count"]
	if !given {
		return 1, nil
	}
	n, ok := v.(uint64)
	if !ok || n > 99999 {
		return 0, fmt.Errorf("metadata \"split.count\" is %s, which is no number of files", shown(v))
	}
	return max(1, n), nil
}

// splitFiles lists the files of a split model, of which path is one.
func splitFiles(path string, count uint64) ([]string, error) {
	m := splitName.FindStringSubmatch(filepath.Base(path))
	if m == nil {
		return nil, fmt.Errorf("it is one of %d files of a split model, which are found by their names, such as NAME-00001-of-%05d.gguf; give it its name back", count, count)
	}
	if of, _ := strconv.ParseUint(m[3], 10, 64); of != count {
		return nil, fmt.Errorf("its name says that the model has %d files, its metadata %d", of, count)
	}
	out := make([]string, count)
	for i := range out {
		out[i] = filepath.Join(filepath.Dir(path), fmt.Sprintf("%s-%05d-of-%s.gguf", m[1], i+1, m[3]))
	}
	return out, nil
}

// join adds the tensors of the other files of a split model, in their order, to the
// first of them.
func (f *gguf) join(parts []*gguf, files []string) error {
	for i, part := range parts {
		if have := part.meta["split.no"]; have != uint64(i) {
			return fmt.Errorf("%s: its metadata \"split.no\" is %s, its name says %d", files[i], shown(have), i)
		}
		if have := part.meta["split.count"]; have != uint64(len(files)) {
			return fmt.Errorf("%s: its metadata \"split.count\" is %s, that of another file %d", files[i], shown(have), len(files))
		}
		if i == 0 {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(part.tensors)) {
			if _, twice := f.tensors[name]; twice {
				return fmt.Errorf("%s: tensor %q is in an earlier file too", files[i], name)
			}
			f.tensors[name] = part.tensors[name]
		}
	}
	if want, given := f.meta["split.tensors.count"]; given && fmt.Sprint(want) != fmt.Sprint(len(f.tensors)) {
		return fmt.Errorf("%s: its metadata \"split.tensors.count\" is %s, but the files have %d tensors", files[0], shown(want), len(f.tensors))
	}
	return nil
}
