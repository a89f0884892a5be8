package cpu

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/ebitengine/purego"
	"golang.org/x/sys/unix"

	"foundry/runtime/files"
)

// objectCache holds compiled objects. An entry, named by all that its object is built of,
// holds the name of the object, which is that of its content: what is damaged is not
// loaded, and built anew.
type objectCache struct {
	dir string
	// passing removes a folder that does not stay, and why is the reason; nil for one that does.
	passing *files.Dir
	why     string
}

// cacheFolder makes the folder of the name or, for "", one in the user's cache. For
// a user who has no cache that can be written it is a temporary one.
func cacheFolder(dir string) (objectCache, error) {
	if dir != "" {
		dir, err := filepath.Abs(dir)
		if err == nil {
			err = files.Private(dir)
		}
		if err != nil {
			return objectCache{}, fmt.Errorf("cpu: cache folder: %w", err)
		}
		return objectCache{dir: dir}, nil
	}
	user, err := os.UserCacheDir()
	if err == nil {
		dir = filepath.Join(user, "foundry")
		if err = writable(dir); err == nil {
			return objectCache{dir: dir}, nil
		}
	}
	const remedy = "let XDG_CACHE_HOME name a folder that can be written"
	temporary, second := files.Folder("", "foundry")
	if second != nil {
		return objectCache{}, fmt.Errorf("cpu: no folder for compiled kernels: %w; %w; %s", err, second, remedy)
	}
	return objectCache{temporary.Path, temporary, fmt.Sprintf("kernels are compiled anew each time (%v; %s)", err, remedy)}, nil
}

// writable makes a private folder where it is not there, and is an error of one in which this
// process may make no files.
func writable(dir string) error {
	if err := files.Private(dir); err != nil {
		return err
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &os.PathError{Op: "write to", Path: dir, Err: err}
	}
	return nil
}

// close removes a folder that does not stay.
func (f objectCache) close() error {
	if f.passing == nil {
		return nil
	}
	return f.passing.Remove()
}

// object is a shared object, which is built once.
type object struct {
	name   string   // the name for people
	of     []string // all that it is built of, the compiler aside
	symbol string   // the function that it must have
	// build makes it in the folder work, for a cache that does not have it.
	build func(ctx context.Context, work string) (made string, err error)
}

// maxObjectBytes is beyond any object that the compiler may write.
const maxObjectBytes = 1 << 30

// loadedObject is a loaded object.
type loadedObject struct {
	path   string
	handle uintptr
	built  bool      // an object that no cache held
	ready  time.Time // the moment when the file was there, to be loaded
}

// open loads the object, built where the cache does not have it whole. One of the
// cache that does not load, or lacks the symbol, is built anew, once.
func (f objectCache) open(ctx context.Context, c *compiler, o object, mode int) (loadedObject, error) {
	entry := f.entry(o.name, c.key(o.of...))
	if path, whole := f.find(entry); whole {
		ready := time.Now()
		if handle, err := loadObject(path, mode, o.symbol); err == nil {
			return loadedObject{path, handle, false, ready}, ctx.Err()
		}
	}
	path, err := f.build(ctx, o, entry)
	if err != nil {
		return loadedObject{}, err
	}
	ready := time.Now()
	handle, err := loadObject(path, mode, o.symbol)
	return loadedObject{path, handle, true, ready}, err
}

// entry is the path of the entry of what has the key.
func (f objectCache) entry(name, key string) string {
	return filepath.Join(f.dir, name+"-"+key+".entry")
}

var objectName = regexp.MustCompile(`^([a-z]+)-[0-9a-f]{64}(\.s?o)$`)

// find returns the path of the object that an entry names, and whether it is there
// with the content that it was built with. Both count as used now.
func (f objectCache) find(entry string) (path string, whole bool) {
	name, err := files.ReadPrivate(entry, 1<<10)
	parts := objectName.FindStringSubmatch(string(name))
	if err != nil || parts == nil {
		return "", false
	}
	path = filepath.Join(f.dir, string(name))
	content, err := files.ReadPrivate(path, maxObjectBytes)
	if err != nil || nameOfObject(parts[1], content, parts[2]) != string(name) {
		return "", false
	}
	now := time.Now()
	_ = os.Chtimes(entry, now, now) // one that is not touched is removed earlier
	_ = os.Chtimes(path, now, now)
	return path, true
}

// nameOfObject is the name of a file with the content.
func nameOfObject(name string, content []byte, kind string) string {
	sum := sha256.Sum256(content)
	return name + "-" + hex.EncodeToString(sum[:]) + kind
}

// build makes the object in the cache, writes its entry and returns its path.
func (f objectCache) build(ctx context.Context, o object, entry string) (string, error) {
	work, err := files.Folder(f.dir, o.name)
	if err != nil {
		return "", fmt.Errorf("cpu: %w", err)
	}
	defer work.Remove()
	made, err := o.build(ctx, work.Path)
	if err != nil {
		return "", err
	}
	path, err := f.keep(o.name, made, entry)
	if err != nil {
		return "", err
	}
	return path, f.prune()
}

// keep takes the compiled file made into the cache, for the entries, and returns its
// path there.
func (f objectCache) keep(name, made string, entries ...string) (string, error) {
	content, err := files.Read(made, maxObjectBytes)
	if err != nil {
		return "", fmt.Errorf("cpu: %w", err)
	}
	name = nameOfObject(name, content, filepath.Ext(made))
	path := filepath.Join(f.dir, name)
	if err := files.WritePrivate(path, content); err != nil {
		return "", fmt.Errorf("cpu: %w", err)
	}
	if err := files.WritePrivate(entries[0], []byte(name), entries[1:]...); err != nil {
		return "", fmt.Errorf("cpu: %w", err)
	}
	return path, nil
}

// loadObject opens a shared object that has the symbol.
func loadObject(path string, mode int, symbol string) (uintptr, error) {
	handle, err := purego.Dlopen(path, mode)
	if err != nil {
		return 0, fmt.Errorf("cpu: %w", err)
	}
	if _, err := purego.Dlsym(handle, symbol); err != nil {
		_ = purego.Dlclose(handle)
		return 0, fmt.Errorf("cpu: %w", err)
	}
	return handle, nil
}

// filesKept is how many files of each kind the cache holds: the last used ones. A
// shared object has its kernels of up to as many objects, and an entry for each.
var filesKept = map[string]int{".so": 256, ".o": 1024, ".entry": 8192}

// prune removes the files that were used longest ago.
func (f objectCache) prune() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return fmt.Errorf("cpu: cache folder: %w", err)
	}
	kinds := map[string][]os.DirEntry{}
	for _, e := range entries {
		kind := filepath.Ext(e.Name())
		kinds[kind] = append(kinds[kind], e)
	}
	type file struct {
		path string
		used time.Time
	}
	for kind, found := range kinds {
		if kept := filesKept[kind]; kept == 0 || len(found) <= kept {
			continue // of another kind, or few
		}
		var all []file
		for _, e := range found {
			if info, err := e.Info(); err == nil { // else another process removed it
				all = append(all, file{filepath.Join(f.dir, e.Name()), info.ModTime()})
			}
		}
		slices.SortFunc(all, func(a, b file) int { return b.used.Compare(a.used) })
		for _, old := range all[min(len(all), filesKept[kind]):] {
			_ = os.Remove(old.path)
		}
	}
	return nil
}
