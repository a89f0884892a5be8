package mtl

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"foundry/lower/plan"
	"foundry/runtime/files"
)

// archive keeps a plan's pipelines on disk from one load to the next. It is either
// read or written anew: one that lacks a pipeline, since it is damaged or was written
// by another version, is replaced. What goes wrong with it costs time and nothing
// else.
type archive struct {
	d      *Device
	path   string // the file; "": nothing is kept
	read   id     // the archive on disk, where Metal can read that
	made   []id   // descriptors of the pipelines, retained
	missed int    // pipelines that it did not have
}

// openArchive reads the plan's archive.
func (d *Device) openArchive(p *plan.Plan) *archive {
	a := &archive{d: d}
	if d.opts.CacheDir == "" || p.Hash == "" {
		return a
	}
	a.path = filepath.Join(d.opts.CacheDir, d.archiveName(p)+".metalarchive")
	if info, err := os.Lstat(a.path); err == nil && info.Mode().IsRegular() { // Metal would wait for a pipe
		a.read, _ = a.open(a.path) // one that cannot be read is as good as none
	}
	return a
}

// archiveName is of all that a pipeline depends on: the compiler is the system's.
func (d *Device) archiveName(p *plan.Plan) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{p.Hash, d.limits.name, d.b.system(), fmt.Sprint(d.opts.Indirect)}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// open returns the archive at path or, with "", an empty one.
func (a *archive) open(path string) (id, error) {
	b := a.d.b
	desc := b.allocInit(b.MTLBinaryArchiveDescriptor)
	defer b.release(desc)
	if path != "" {
		b.setArchiveURL.Call(desc, b.setArchiveURL.Sel, b.url(path))
	}
	var failure id
	object := b.newArchive.Call(a.d.dev, b.newArchive.Sel, desc, &failure)
	if object == 0 {
		return 0, b.failure("there is no archive for compiled kernels", failure)
	}
	return object, nil
}

// pipeline makes the pipeline of a descriptor, from the archive where it has it;
// otherwise failure is why there is none.
func (a *archive) pipeline(desc id) (pipeline, failure id) {
	b := a.d.b
	if a.path != "" {
		a.made = append(a.made, b.retain(desc))
	}
	if a.read != 0 {
		b.setArchives.Call(desc, b.setArchives.Sel, b.arrayWith.Call(b.NSArray, b.arrayWith.Sel, a.read))
		pipeline = b.newPipeline.Call(a.d.dev, b.newPipeline.Sel, desc, MTLPipelineOptionFailOnBinaryArchiveMiss, nil, &failure)
		if pipeline != 0 {
			return pipeline, 0
		}
		b.setArchives.Call(desc, b.setArchives.Sel, 0)
	}
	a.missed++
	pipeline = b.newPipeline.Call(a.d.dev, b.newPipeline.Sel, desc, 0, nil, &failure)
	return pipeline, failure
}

// keep writes the pipelines that were made, where the file lacks one of them. It
// appears whole or not at all.
func (a *archive) keep() error {
	if a.path == "" || a.missed == 0 {
		return nil
	}
	b := a.d.b
	object, err := a.open("")
	if err != nil {
		return err
	}
	defer b.release(object)
	var failure id
	for _, desc := range a.made {
		if !b.addToArchive.Call(object, b.addToArchive.Sel, desc, &failure) {
			return b.failure("the archive takes no kernel", failure)
		}
	}
	dir := filepath.Dir(a.path)
	if err := files.Private(dir); err != nil {
		return err
	}
	work, err := files.Folder(dir, filepath.Base(a.path))
	if err != nil {
		return err
	}
	defer work.Remove()
	written := filepath.Join(work.Path, "archive")
	if !b.saveArchive.Call(object, b.saveArchive.Sel, b.url(written), &failure) {
		return b.failure("nothing can be written to "+written, failure)
	}
	if err := os.Chmod(written, 0o600); err != nil {
		return err
	}
	return files.ReplacePrivate(written, a.path)
}

func (a *archive) close() {
	for _, desc := range a.made {
		a.d.b.release(desc)
	}
	a.d.b.release(a.read)
}

// url returns an autoreleased NSURL of a file.
func (b *bridge) url(path string) id {
	return b.fileURL.Call(b.NSURL, b.fileURL.Sel, b.str(path))
}
