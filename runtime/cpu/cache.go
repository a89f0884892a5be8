package cpu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ebitengine/purego"
)

// folder holds compiled objects.
type folder struct {
	dir string
	// passing says why the folder goes when the device is closed; "" for one that stays.
	passing string
}

// cacheFolder makes the folder of the name or, for "", one in the user's cache. For
// a user who has no cache that can be written it is a temporary one.
func cacheFolder(dir string) (folder, error) {
	if dir != "" {
		dir, err := filepath.Abs(dir)
		if err == nil {
			err = os.MkdirAll(dir, 0o755)
		}
		if err != nil {
			return folder{}, fmt.Errorf("cpu: cache folder: %w", err)
		}
		return folder{dir: dir}, nil
	}
	user, err := os.UserCacheDir()
	if err == nil {
		dir = filepath.Join(user, "foundry")
		if err = writable(dir); err == nil {
			return folder{dir: dir}, nil
		}
	}
	const remedy = "let XDG_CACHE_HOME name a folder that can be written"
	temporary, second := os.MkdirTemp("", "foundry-")
	if second != nil {
		return folder{}, fmt.Errorf("cpu: no folder for compiled kernels: %w; %w; %s", err, second, remedy)
	}
	return folder{temporary, fmt.Sprintf("kernels are compiled anew each time (%v; %s)", err, remedy)}, nil
}

// writable makes a folder where it is not there, and a file in it for a moment.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "build-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// close removes a folder that does not stay.
func (f folder) close() error {
	if f.passing == "" {
		return nil
	}
	return os.RemoveAll(f.dir)
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
