package plan

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"foundry/runtime/files"
)

// A bundle is a folder: plan.json and kernels/NAME.metal.
const (
	planFile   = "plan.json"
	kernelsDir = "kernels"
)

// Sizes beyond which a file is no part of a bundle of ours.
const (
	maxPlanBytes   = 256 << 20
	maxKernelBytes = 4 << 20
)

// Rehash sets the schema version, each kernel's file and hash, and the plan's
// hash. Save does so too; a compiler calls it for a plan that stays in memory.
func (p *Plan) Rehash() error {
	p.Schema = Schema
	p.normalise()
	for i := range p.Kernels {
		k := &p.Kernels[i]
		k.File = kernelFile(k.Name)
		k.SHA256 = hashHex([]byte(k.Source))
	}
	h, err := p.computeHash()
	p.Hash = h
	return err
}

func kernelFile(name string) string { return kernelsDir + "/" + name + ".metal" }

func hashHex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// computeHash returns the hash of the canonical JSON with Hash empty.
func (p *Plan) computeHash() (string, error) {
	q := *p
	q.Hash = ""
	b, err := encode(&q)
	if err != nil {
		return "", err
	}
	return hashHex(b), nil
}

// Save verifies p, sets its hashes and writes it as a bundle to the folder dir,
// whole or not at all. A bundle already there is replaced, at once where the file
// system can exchange two names; a folder that holds anything else is left alone and is
// an error.
func (p *Plan) Save(dir string) (err error) {
	if err := p.Rehash(); err != nil {
		return err
	}
	if err := p.Check(); err != nil {
		return err
	}
	text, err := encode(p)
	if err != nil {
		return err
	}
	dir = filepath.Clean(dir)
	if _, err := files.Steady(dir, replaceable); err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return fmt.Errorf("cannot write the plan: %w", err)
	}
	// Everything is made inside one folder beside dir and renamed into place.
	work, err := files.Folder(parent, filepath.Base(dir))
	if err != nil {
		return fmt.Errorf("cannot write the plan: %w", err)
	}
	defer func() { err = errors.Join(err, work.Remove()) }()
	fresh := filepath.Join(work.Path, "new")
	if err := os.MkdirAll(filepath.Join(fresh, kernelsDir), 0o777); err != nil {
		return fmt.Errorf("cannot write the plan: %w", err)
	}
	for i := range p.Kernels {
		k := &p.Kernels[i]
		if err := writeFile(filepath.Join(fresh, filepath.FromSlash(k.File)), []byte(k.Source)); err != nil {
			return err
		}
	}
	if err := writeFile(filepath.Join(fresh, planFile), text); err != nil {
		return err
	}
	err = files.ReplaceFolder(fresh, dir, replaceable)
	if moved := (*os.LinkError)(nil); errors.As(err, &moved) {
		return fmt.Errorf("cannot write the plan: %w", err)
	}
	return err
}

func writeFile(path string, b []byte) error {
	if err := os.WriteFile(path, b, 0o666); err != nil {
		return fmt.Errorf("cannot write the plan: %w", err)
	}
	return nil
}

// replaceable reports whether dir exists; an existing one must be empty or hold
// nothing but what a bundle is made of.
func replaceable(dir string) (exists bool, err error) {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot write the plan: %w", err)
	}
	if !info.IsDir() {
		return false, fmt.Errorf("%s is not a folder; choose another name for the bundle", dir)
	}
	foreign := func(name string) error {
		return fmt.Errorf("%s holds %s, which is no part of a bundle; choose another folder", dir, name)
	}
	hasPlan, hasOther := false, ""
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		switch {
		case name == planFile && d.Type().IsRegular():
			hasPlan = true
		case name == kernelsDir && d.IsDir():
			hasOther = name
		case strings.HasPrefix(name, kernelsDir+"/") && strings.HasSuffix(name, ".metal") && d.Type().IsRegular():
		default:
			return foreign(name)
		}
		return nil
	})
	if err == nil && !hasPlan && hasOther != "" {
		err = foreign(hasOther + " but no " + planFile)
	}
	return true, err
}

// Load reads the bundle in the folder dir and checks all of it: schema version,
// hashes, structure and hazards. A file that was changed after Save is refused
// by name.
func Load(dir string) (*Plan, error) {
	p, text, err := read(dir)
	if err != nil {
		return nil, err
	}
	wrong := func(file, why string) error {
		return fmt.Errorf("%s: %s: %s; if the change is meant, run: foundry seal %s", dir, file, why, dir)
	}
	canonical, err := encode(p)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", dir, planFile, err)
	}
	// The hash covers the text with its own value, whose first place this is, empty.
	hashed := bytes.Replace(text, []byte(p.Hash), nil, 1)
	if !bytes.Equal(canonical, text) || hashHex(hashed) != p.Hash {
		return nil, wrong(planFile, "changed since it was written")
	}
	for i := range p.Kernels {
		k := &p.Kernels[i]
		if got := hashHex([]byte(k.Source)); got != k.SHA256 {
			return nil, wrong(k.File, "changed since the plan was written")
		}
	}
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return p, nil
}

// Seal accepts a bundle that was edited by hand: it checks structure and
// hazards, sets Edited, and rewrites the hashes in plan.json. A bundle that
// nobody edited stays as it is.
func Seal(dir string) (*Plan, error) {
	if p, err := Load(dir); err == nil {
		return p, nil
	}
	p, _, err := read(dir)
	if err != nil {
		return nil, err
	}
	p.Edited = true
	if err := p.Rehash(); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", dir, planFile, err)
	}
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	text, err := encode(p)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", dir, planFile, err)
	}
	err = files.Write(context.Background(), filepath.Join(dir, planFile), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot seal the plan: %w", err)
	}
	return p, nil
}

// read returns the plan of a bundle with its kernels' sources, and the text of
// plan.json; no hash is compared. Nothing outside dir is opened.
func read(dir string) (*Plan, []byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the plan: %w", err)
	}
	defer root.Close()
	text, err := files.ReadIn(root, planFile, maxPlanBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	p, err := decode(text, dir)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %s: %w", dir, planFile, err)
	}
	for i := range p.Kernels {
		k := &p.Kernels[i]
		if !identifier(k.Name) || k.File != kernelFile(k.Name) {
			return nil, nil, fmt.Errorf("%s: %s: kernel %d: name %q and file %q, want a C identifier and kernels/NAME.metal",
				dir, planFile, i, k.Name, k.File)
		}
		source, err := files.ReadIn(root, k.File, maxKernelBytes)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", dir, err)
		}
		k.Source = string(source)
	}
	return p, text, nil
}
