package search

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"foundry/lower/compile"
	"foundry/passes"
	"foundry/runtime"
	"foundry/runtime/files"
	"foundry/shaders"
)

// searchFile is where the result of a search is kept: a small JSON file whose name
// is the hash of all that the result depends on. An empty path keeps nothing, as with a
// table of passes that has no hash.
type searchFile struct {
	path  string
	table *passes.Table // the table of the pipelines in it
}

// file names the result of s: by the model's shape and dtypes, the target's
// numbers, the device, the tables of passes and the stages of kernels, and what the
// compiler makes of one layer now.
func (s *search) file() searchFile {
	dir := s.CacheDir
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return searchFile{}
		}
		dir = filepath.Join(user, "foundry", "search")
	}
	table, hashed := s.table().Hash()
	if !hashed {
		return searchFile{}
	}
	h := sha256.New()
	o := s.graphs.Options
	fmt.Fprintln(h, compile.Version, table, stagesHash(o.Shaders))
	fmt.Fprintf(h, "%s %+v %+v\n", s.Phase, *s.graphs.Target, *s.costs)
	fmt.Fprintf(h, "%+v\n", compile.Options{Context: o.Context, Chunk: o.Chunk, AllLogits: o.AllLogits,
		Weights: o.Weights, Cache: o.Cache, Attention: o.Attention, CommandBuffers: o.CommandBuffers})
	if s.dev != nil {
		fmt.Fprintf(h, "%+v\n", runtime.Info{Kind: s.dev.Info().Kind, Name: s.dev.Info().Name})
	}
	for _, g := range s.graphs.Entries {
		fmt.Fprintln(h, g.Canonical())
	}
	fmt.Fprintln(h, s.compilerToday())
	return searchFile{filepath.Join(dir, hex.EncodeToString(h.Sum(nil)[:16])+".json"), s.table()}
}

// compilerToday says what the compiler as it is makes of one layer behind pipelines that hold most
// of it: predicted times, and digests of kernels, grids and barriers. So a change of the
// cost model, of a pass or of lowering gives results another name.
func (s *search) compilerToday() string {
	var b strings.Builder
	one := s.m.WithLayers(1)
	for _, variant := range []string{"none", "six", "default", "floor"} { // by the aliases that keys are made of
		o := s.Compile
		o.Variant = variant
		c, err := compile.Model(one, o)
		if err != nil {
			fmt.Fprintln(&b, variant, err)
			continue
		}
		for i, g := range c.Entries {
			fmt.Fprintln(&b, variant, g.Name, s.typical(g), c.Plan.Digest(&c.Plan.Entries[i]))
		}
	}
	return b.String()
}

// stagesHash is the version of the kernels' stages: the built-in ones and those
// that replace them, which may be nil.
func stagesHash(outside fs.FS) string {
	h := sha256.New()
	for _, from := range []fs.FS{shaders.FS, outside} {
		if from == nil {
			continue
		}
		var names []string
		_ = fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && filepath.Ext(name) == ".metal" {
				names = append(names, name)
			}
			return nil // what cannot be read is an error where it is compiled
		})
		slices.Sort(names)
		for _, name := range names {
			text, _ := fs.ReadFile(from, name)
			fmt.Fprintf(h, "%s %d\n%s", name, len(text), text)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// maxResult is beyond any result of a search, in bytes.
const maxResult = 16 << 20

// read returns the result that is kept, nil where there is none. A file that does
// not hold one is said to be ignored.
func (f searchFile) read(say func(string)) *Found {
	if f.path == "" {
		return nil
	}
	text, err := files.ReadPrivate(f.path, maxResult)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	found := &Found{}
	if err == nil {
		err = json.Unmarshal(text, found)
	}
	if err == nil {
		_, err = f.table.Parse(found.Winner.Passes)
	}
	if err == nil && found.Other != nil {
		_, err = f.table.Parse(found.Other.Passes)
	}
	if err == nil && found.Winner.Passes == "" {
		err = errors.New("it names no pipeline")
	}
	if err == nil && found.Device != "" && found.Winner.Measured == nil {
		err = errors.New("it has no measured time")
	}
	if err != nil {
		say(fmt.Sprintf("search: %s is ignored and made anew: %v", f.path, err))
		return nil
	}
	found.FromCache = f.path
	for i := range found.Candidates {
		found.Candidates[i].Name = passes.VariantName(found.Candidates[i].Name)
	}
	for _, c := range []*Candidate{&found.Winner, found.Other} {
		if c != nil {
			c.Name = passes.VariantName(c.Name)
		}
	}
	return found
}

// write keeps a result, whole or not at all. A cache that cannot be written costs
// the next search its time, nothing else.
func (f searchFile) write(found *Found, say func(string)) {
	if f.path == "" {
		return
	}
	if err := replaceJSON(f.path, found); err != nil {
		say(fmt.Sprintf("search: the result is not kept: %v", err))
	}
}

// replaceJSON writes v to path, in a folder of this user.
func replaceJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := files.Private(filepath.Dir(path)); err != nil {
		return err
	}
	return files.WritePrivate(path, append(text, '\n'))
}
