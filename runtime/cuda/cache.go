package cuda

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"foundry/lower/plan"
	"foundry/runtime/msl"
)

// cache keeps compiled units on disk. A kernel's entry, named by everything that
// its machine code depends on, holds the name of the unit that has it; a unit is
// named by its content, so that a damaged one is not taken for whole.
type cache struct{ dir string }

// key names what k is compiled from: text, options, versions of NVRTC and driver.
func (d *Device) key(k *plan.Kernel) (string, error) {
	text, err := msl.CUDA(k)
	if err != nil {
		return "", err
	}
	return sum([]byte(strings.Join(append(d.options(), d.rtc.version, d.info.Note, text), "\x00"))), nil
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func (c cache) entry(key string) string { return filepath.Join(c.dir, key+".unit") }
func (c cache) unit(name string) string { return filepath.Join(c.dir, name+".cubin") }

// find returns the name of the unit that has the kernel of that key, and the unit
// itself unless it is among those that were read before; "" where there is none.
func (c cache) find(key string, read map[string][]byte) (name string, code []byte) {
	if c.dir == "" {
		return "", nil
	}
	b, err := os.ReadFile(c.entry(key))
	if err != nil {
		return "", nil
	}
	name = string(b)
	if code, ok := read[name]; ok {
		return name, code
	}
	if code, err = os.ReadFile(c.unit(name)); err != nil || sum(code) != name {
		return "", nil
	}
	return name, code
}

// keep stores a unit, and an entry for each of its kernels.
func (c cache) keep(code []byte, keys []string) error {
	if c.dir == "" {
		return nil
	}
	name := sum(code)
	if err := writeFile(c.unit(name), code); err != nil {
		return fmt.Errorf("the kernel cache: %w", err)
	}
	for _, key := range keys {
		if err := writeFile(c.entry(key), []byte(name)); err != nil {
			return fmt.Errorf("the kernel cache: %w", err)
		}
	}
	return nil
}

// writeFile makes path appear whole or not at all.
func writeFile(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "cubin-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
