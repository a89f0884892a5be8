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
	"strings"
	"time"

	"github.com/ebitengine/purego"

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

// writable makes a private folder where it is not there, and a file in it for a moment.
func writable(dir string) error {
	if err := files.Private(dir); err != nil {
		return err
	}
	f, err := files.CreatePrivate(filepath.Join(dir, "writable"))
	if err != nil {
		return err
	}
	return f.Discard()
}

// close removes a folder that does not stay.
func (f objectCache) close() error {
	if f.passing == nil {
		return nil
	}
	return f.passing.Remove()
}

// object is what a shared object is built of, and the function that it must have.
type object struct {
	name   string // of what it is, for people
	units  []unit
	link   []string
	symbol string
}

// maxObjectBytes is beyond any object that the compiler may write.
const maxObjectBytes = 1 << 30

// loadedObject is a loaded object.
type loadedObject struct {
	path   string
	handle uintptr
	built  bool      // anew
	ready  time.Time // when the file was there, to be loaded
}

// open loads the object, built where the cache does not have it whole. One of the
// cache that does not load, or lacks the symbol, is built anew, once.
func (f objectCache) open(ctx context.Context, c *compiler, o object, mode int, progress func(done, total int)) (loadedObject, error) {
	entry := filepath.Join(f.dir, o.name+"-"+o.key(c)+".entry")
	if path, whole := f.find(entry); whole {
		ready := time.Now()
		if handle, err := loadObject(path, mode, o.symbol); err == nil {
			return loadedObject{path, handle, false, ready}, ctx.Err()
		}
	}
	path, err := f.build(ctx, c, o, entry, progress)
	if err != nil {
		return loadedObject{}, err
	}
	ready := time.Now()
	handle, err := loadObject(path, mode, o.symbol)
	return loadedObject{path, handle, true, ready}, err
}

// key is the hash of everything that goes into the object.
func (o object) key(c *compiler) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q", c.id, c.flags, o.link)
	for _, u := range o.units {
		fmt.Fprintf(h, "%q %q", u.flags, u.text)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

var objectName = regexp.MustCompile(`^[a-z]+-[0-9a-f]{64}\.so$`)

// find returns the path of the object that an entry names, and whether it is there
// with the content that it was built with. Both count as used now.
func (f objectCache) find(entry string) (path string, whole bool) {
	name, err := files.ReadPrivate(entry, 1<<10)
	if err != nil || !objectName.Match(name) {
		return "", false
	}
	path = filepath.Join(f.dir, string(name))
	content, err := files.ReadPrivate(path, maxObjectBytes)
	if err != nil || nameOfObject(strings.SplitN(string(name), "-", 2)[0], content) != string(name) {
		return "", false
	}
	now := time.Now()
	_ = os.Chtimes(entry, now, now) // one that is not touched is removed earlier
	_ = os.Chtimes(path, now, now)
	return path, true
}

// named is the name of an object with the content.
func nameOfObject(name string, content []byte) string {
	sum := sha256.Sum256(content)
	return name + "-" + hex.EncodeToString(sum[:]) + ".so"
}

// build compiles the object into the cache, writes its entry and returns its path.
func (f objectCache) build(ctx context.Context, c *compiler, o object, entry string, progress func(done, total int)) (string, error) {
	work, err := files.Folder(f.dir, o.name)
	if err != nil {
		return "", fmt.Errorf("cpu: %w", err)
	}
	defer work.Remove()
	made, err := c.build(ctx, work.Path, o.units, o.link, progress)
	if err != nil {
		return "", err
	}
	content, err := files.Read(made, maxObjectBytes)
	if err != nil {
		return "", fmt.Errorf("cpu: %w", err)
	}
	name := nameOfObject(o.name, content)
	path := filepath.Join(f.dir, name)
	if err := files.WritePrivate(path, content); err != nil {
		return "", fmt.Errorf("cpu: %w", err)
	}
	if err := files.WritePrivate(entry, []byte(name)); err != nil {
		return "", fmt.Errorf("cpu: %w", err)
	}
	return path, f.prune()
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

// objectsKept is how many objects, and how many entries, the cache holds: the last
// used ones.
const objectsKept = 256

// prune removes the objects and the entries that were used longest ago.
func (f objectCache) prune() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return fmt.Errorf("cpu: cache folder: %w", err)
	}
	type file struct {
		path string
		used time.Time
	}
	kinds := map[string][]file{".so": nil, ".entry": nil}
	for _, e := range entries {
		kind := filepath.Ext(e.Name())
		info, err := e.Info()
		if _, ours := kinds[kind]; err != nil || !ours {
			continue // of another kind, or another process removed it
		}
		kinds[kind] = append(kinds[kind], file{filepath.Join(f.dir, e.Name()), info.ModTime()})
	}
	for _, all := range kinds {
		slices.SortFunc(all, func(a, b file) int { return b.used.Compare(a.used) })
		for _, old := range all[min(len(all), objectsKept):] {
			_ = os.Remove(old.path)
		}
	}
	return nil
}
