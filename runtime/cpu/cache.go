package cpu

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ebitengine/purego"
)

// cacheDir makes the folder of compiled objects.
func cacheDir(dir string) (string, error) {
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("cpu: no cache folder for compiled kernels: %w; name one", err)
		}
		dir = filepath.Join(user, "foundry")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cpu: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cpu: cache folder: %w", err)
	}
	return dir, nil
}

// objectsKept is how many compiled objects the cache holds, the last used ones.
const objectsKept = 256

// prune removes the objects that were used longest ago, and what a build that
// was killed left behind.
func prune(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cpu: cache folder: %w", err)
	}
	type object struct {
		path string
		used time.Time
	}
	var objects []object
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // another process removed it
		}
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasSuffix(path, ".so"):
			objects = append(objects, object{path, info.ModTime()})
		case strings.HasPrefix(e.Name(), "build-") && time.Since(info.ModTime()) > 24*time.Hour:
			_ = os.RemoveAll(path)
		}
	}
	slices.SortFunc(objects, func(a, b object) int { return b.used.Compare(a.used) })
	for _, o := range objects[min(len(objects), objectsKept):] {
		_ = os.Remove(o.path)
	}
	return nil
}

// openObject loads what build makes. An object of the cache that does not load is made
// anew, once.
func openObject(mode int, build func() (string, error)) (uintptr, error) {
	path, err := build()
	if err != nil {
		return 0, err
	}
	handle, err := purego.Dlopen(path, mode)
	if err == nil {
		return handle, nil
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return 0, fmt.Errorf("cpu: %w", err)
	}
	if path, err = build(); err != nil {
		return 0, err
	}
	if handle, err = purego.Dlopen(path, mode); err != nil {
		return 0, fmt.Errorf("cpu: %w", err)
	}
	return handle, nil
}
