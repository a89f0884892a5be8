package cuda

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"foundry/lower/plan"
	"foundry/runtime/files"
	"foundry/runtime/msl"
)

// cache keeps compiled units on disk. A kernel's entry, named by everything that
// its machine code depends on, holds the name of the unit that has it; a unit is
// named by its content, so that a damaged one is not taken for whole.
type cache struct{ dir string }

// key names what k is compiled from: text, options, versions of NVRTC and driver, and the
// threadgroups that a multiprocessor gets.
func (d *Device) key(k *plan.Kernel, share int) (string, error) {
	text, err := msl.CUDA(msl.Free, k)
	if err != nil {
		return "", err
	}
	return hashOf([]byte(strings.Join(append(d.options(msl.Matrices(k)), d.rtc.version, d.info.Note, fmt.Sprint(share, registersRule), text), "\x00"))), nil
}

func hashOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func (c cache) entry(key string) string { return filepath.Join(c.dir, key+".unit") }
func (c cache) unit(name string) string { return filepath.Join(c.dir, name+".cubin") }

// unitName is the form of a unit's name: a hash.
var unitName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// maxUnitBytes is beyond any compiled unit.
const maxUnitBytes = 1 << 30

// find returns the name of the unit that has the kernel of that key, and the unit
// itself unless it is among those that were read before; "" where there is none.
func (c cache) find(key string, read map[string][]byte) (name string, code []byte) {
	if c.dir == "" {
		return "", nil
	}
	b, err := files.ReadPrivate(c.entry(key), 1<<10)
	if err != nil || !unitName.Match(b) {
		return "", nil
	}
	name = string(b)
	if code, ok := read[name]; ok {
		return name, code
	}
	if code, err = files.ReadPrivate(c.unit(name), maxUnitBytes); err != nil || hashOf(code) != name {
		return "", nil
	}
	return name, code
}

// keep stores a unit, and an entry for each of its kernels.
func (c cache) keep(code []byte, keys []string) error {
	if c.dir == "" {
		return nil
	}
	name := hashOf(code)
	err := files.Private(c.dir)
	if err == nil {
		err = files.WritePrivate(c.unit(name), code)
	}
	for _, key := range keys {
		if err == nil {
			err = files.WritePrivate(c.entry(key), []byte(name))
		}
	}
	if err != nil {
		return fmt.Errorf("the kernel cache: %w", err)
	}
	return nil
}
