package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// sources are the files that results depend on: Go text with its tests, Metal text with
// its headers, and what lies in folders of test data.
type sources struct {
	root, hash string
	stamps     map[string]stamp // files by name, below the root
}

// buildFolder is where tests keep what they have built, for the next run: no source.
const buildFolder = "testdata/build"

// stamp tells a file that was written from one that was not.
type stamp struct {
	size int64
	at   time.Time
}

// readSources reads the files below a module's root.
func readSources(root string) (*sources, error) {
	s := &sources{root: root}
	sum := sha256.New()
	var err error
	s.stamps, err = s.list(func(name string) error {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		fmt.Fprintf(sum, "%s %d\n%s", name, len(text), text)
		return err
	})
	s.hash = hex.EncodeToString(sum.Sum(nil))
	return s, err
}

// list visits the files in their order.
func (s *sources) list(visit func(name string) error) (map[string]stamp, error) {
	out := map[string]stamp{}
	err := filepath.WalkDir(s.root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(s.root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && strings.HasPrefix(d.Name(), ".") || strings.HasSuffix(rel, rapidFolder) || strings.HasSuffix(rel, buildFolder) || strings.HasSuffix(d.Name(), programsSuffix) {
				return fs.SkipDir
			}
			return nil
		}
		switch path.Ext(rel) {
		case ".go", ".metal", ".h":
		default:
			if !strings.Contains(rel, "testdata/") {
				return nil
			}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		out[rel] = stamp{info.Size(), info.ModTime()}
		return visit(rel)
	})
	return out, err
}

// unchanged is an error where a file was written, added or taken away since they were read.
func (s *sources) unchanged() error {
	now, err := s.list(func(string) error { return nil })
	if err != nil {
		return err
	}
	for name, was := range s.stamps {
		if is, there := now[name]; !there || is != was {
			return fmt.Errorf("%s has changed: %w", name, errOtherSources)
		}
		delete(now, name)
	}
	for name := range now {
		return fmt.Errorf("%s is new: %w", name, errOtherSources)
	}
	return nil
}
