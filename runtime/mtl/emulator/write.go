package emulator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"foundry/lower/plan"
	"foundry/runtime/cpu"
	"foundry/runtime/files"
)

// The files of a folder that Write makes, beside kernels/NAME.metal.
const (
	// Library is the framework: what a program on a Mac links to Metal, Foundation and
	// the Objective-C runtime for.
	Library      = "libmetal.so"
	executorFile = "executor.so"
	kernelsFile  = "kernels.so"
	manifestFile = "manifest"
	kernelsDir   = "kernels"
)

// manifestHead begins a manifest; framework/alone.cc reads the same.
const manifestHead = "foundry emulated-metal 1\n"

// Write puts a framework for a plan's kernels into the folder dir, whole or not at all:
// a program that is linked to Library there finds a GPU that takes the texts of those
// kernels, without Go. A folder that an earlier Write made is replaced, another is an
// error. The error is ErrUnavailable where the framework cannot be had.
func Write(ctx context.Context, dir string, p *plan.Plan, o cpu.Options) (err error) {
	dir = filepath.Clean(dir)
	if _, err := files.Steady(dir, replaceable); err != nil {
		return err
	}
	dev, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return err
	}
	work, err := files.Folder(filepath.Dir(dir), filepath.Base(dir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, work.Remove()) }()
	fresh := filepath.Join(work.Path, "new")
	if err := os.MkdirAll(filepath.Join(fresh, kernelsDir), 0o777); err != nil {
		return err
	}
	if err := dev.Export(ctx, p, filepath.Join(fresh, executorFile), filepath.Join(fresh, kernelsFile)); err != nil {
		return err
	}
	lib, err := compile(ctx, dev.CacheDir())
	if err != nil {
		return err
	}
	content, err := files.Read(lib, maxLibraryBytes)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(fresh, Library), content, 0o666); err != nil {
		return err
	}
	for i := range p.Kernels {
		k := &p.Kernels[i]
		if err := os.WriteFile(filepath.Join(fresh, kernelsDir, k.Name+".metal"), []byte(k.Source), 0o666); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(fresh, manifestFile), []byte(manifest(p)), 0o666); err != nil {
		return err
	}
	return files.ReplaceFolder(fresh, dir, replaceable)
}

// manifest lists the kernels in the module's order, each with its slots and arrays.
func manifest(p *plan.Plan) string {
	var b strings.Builder
	b.WriteString(manifestHead)
	bytes := touched(p)
	for i := range p.Kernels {
		k := &p.Kernels[i]
		fmt.Fprintf(&b, "kernel %d %s\n", i, k.Name)
		for j, s := range k.Slots {
			fmt.Fprintf(&b, "slot %s %d %d %d\n", s.Name, flag(s.Access.Reads()), flag(s.Access.Writes()), slotBytes(bytes[i], j))
		}
		for _, a := range k.Threadgroup {
			fmt.Fprintf(&b, "array %d\n", a.Bytes)
		}
	}
	return b.String()
}

// replaceable reports whether dir exists, and is an error where it holds anything that Write has not made.
func replaceable(dir string) (exists bool, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return err == nil, nil
	}
	if err == nil {
		var text []byte
		if text, err = files.Read(filepath.Join(dir, manifestFile), 1<<24); err == nil && strings.HasPrefix(string(text), "foundry emulated-metal ") {
			return true, nil
		}
	}
	return true, fmt.Errorf("%s is no folder of an emulated framework; choose another", dir)
}
