package cpu

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/msl"
)

func (d *Device) kernelFlags() []string {
	flags := []string{"-nostdinc"}
	switch {
	case d.opts.OneRun:
		flags = append(flags, "-Og", "-DFOUNDRY_ROLLED")
	case d.opts.FewRuns || d.opts.Checked: // what looks at accesses takes most of a checked run
		flags = append(flags, "-O1", "-DFOUNDRY_ROLLED")
	}
	if d.opts.Checked {
		flags = append(flags, "-fsanitize=thread", "-fsanitize=bounds", "-fsanitize-undefined-trap-on-error", "-fsanitize-coverage=trace-pc")
		if d.cc.isClang() { // else a read before a write of one address goes unseen
			flags = append(flags, "-mllvm", "-tsan-instrument-read-before-write=1")
		}
	}
	return flags
}

// textOptions: where kernels run long, each is compiled with stages of its own, for its use
// of them. The gate has seen that kernels which are not trusted have this program's stage
// files, and name nothing of others.
func (d *Device) textOptions() msl.Options {
	shared := d.opts.Checked || d.opts.FewRuns || d.opts.OneRun
	return msl.Options{Checked: d.opts.Checked, Shared: shared, United: shared && !d.opts.TrustKernels}
}

// linkFlags: kernels name functions of the mathematical library and of the compiler's own.
// Reading the symbols of C++'s library takes a third of linking.
func (d *Device) linkFlags() []string {
	switch {
	case runtime.GOOS == "darwin":
		return []string{"-lm", "-Wl,-undefined,dynamic_lookup"}
	case d.cc.isClang(): // which library is its own differs
		return []string{"-lm"}
	}
	return []string{"-nostdlib", "-lm", "-lgcc"}
}

// keys are the kernels' hashes, of everything that goes into what is compiled of each.
func (d *Device) keys(kernels []plan.Kernel) ([]string, error) {
	keys := make([]string, len(kernels))
	for i := range kernels {
		text, err := msl.CPU([]*plan.Kernel{&kernels[i]}, []string{""}, d.textOptions())
		if err != nil {
			return nil, fmt.Errorf("cpu: %w", err)
		}
		keys[i] = d.cc.key(append(d.kernelFlags(), text)...)
	}
	return keys, nil
}

// objectsOf returns the paths of object files that hold the kernels, and how many
// kernels had to be compiled for them: plans share most kernels, and what one plan
// compiled others find. work is a folder for the compiler's files.
func (d *Device) objectsOf(ctx context.Context, work string, kernels []plan.Kernel, keys []string, progress fruntime.Progress) (objects []string, fresh int, err error) {
	found := map[string]bool{}
	var missing []int
	for i, key := range keys {
		if path, whole := d.objects.find(d.objects.entry("kernel", key)); whole {
			found[path] = true
		} else {
			missing = append(missing, i)
		}
	}
	var mu sync.Mutex
	done := len(kernels) - len(missing)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	least := 3 // the header is worth a few kernels
	if d.textOptions().Shared {
		least = 16 // and stages that two parts share compile in both
	}
	for n, members := range split(missing, kernels, least) {
		group.Go(func() error {
			path, err := d.unit(groupCtx, work, n, members, kernels, keys)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			found[path] = true
			if done += len(members); progress != nil {
				progress("compile kernels", int64(done), int64(len(kernels)))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, 0, err
	}
	return slices.Sorted(maps.Keys(found)), len(missing), nil
}

// split cuts the list of kernels into parts whose texts are of about one size, to be
// compiled side by side: one for each so many kernels, least, and no more than compile at
// a time.
func split(list []int, kernels []plan.Kernel, least int) [][]int {
	total := 0
	for _, i := range list {
		total += len(kernels[i].Source)
	}
	n := max(1, min(runtime.NumCPU(), 8, len(list)/least))
	var parts [][]int
	for first, bytes := 0, 0; first < len(list); {
		last := first
		for last < len(list) && (last == first || bytes*n < total*(len(parts)+1)) {
			bytes += len(kernels[list[last]].Source)
			last++
		}
		parts = append(parts, list[first:last])
		first = last
	}
	return parts
}

// unit compiles some kernels of a plan into one object file of the cache, the n-th in
// the folder work, and returns its path.
func (d *Device) unit(ctx context.Context, work string, n int, members []int, kernels []plan.Kernel, keys []string) (string, error) {
	var some []*plan.Kernel
	var symbols, entries []string
	for _, i := range members {
		some, symbols, entries = append(some, &kernels[i]), append(symbols, keys[i]), append(entries, d.objects.entry("kernel", keys[i]))
	}
	text, err := msl.CPU(some, symbols, d.textOptions())
	if err != nil {
		return "", fmt.Errorf("cpu: %w", err)
	}
	made := filepath.Join(work, fmt.Sprintf("%d.o", n))
	err = d.cc.compile(ctx, work, text, made, d.kernelFlags())
	var compile *compileError
	if errors.As(err, &compile) {
		return "", d.blame(ctx, work, some, compile)
	}
	if err != nil {
		return "", err
	}
	return d.objects.keep("kernel", made, entries...)
}

// blame finds the kernel that does not compile by compiling each of its unit alone.
func (d *Device) blame(ctx context.Context, work string, kernels []*plan.Kernel, all *compileError) error {
	for _, k := range kernels {
		text, err := msl.CPU([]*plan.Kernel{k}, []string{""}, d.textOptions())
		if err != nil {
			return fmt.Errorf("cpu: %w", err)
		}
		err = d.cc.compile(ctx, work, text, "/dev/null", append(d.kernelFlags(), "-fsyntax-only"))
		var own *compileError
		if errors.As(err, &own) {
			return fmt.Errorf("cpu: kernel %s does not compile: %s", k.Name, own.first())
		}
		if err != nil {
			return err
		}
	}
	return all
}
