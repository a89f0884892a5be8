package cuda

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"foundry/lower/plan"
	fruntime "foundry/runtime"
	"foundry/runtime/msl"
)

// unitKernels is how many kernels are compiled together at most. NVRTC reads one
// unit's text at a time, whatever the number of threads, and the header costs it
// more than most kernels (0.2 s against 0.01 s to 0.1 s); its optimiser works on
// several units at once.
const unitKernels = 8

// units are machine code by name, and the name for each kernel of a plan.
type units struct {
	code  map[string][]byte
	of    []string
	fresh int // kernels that no cache held
}

// matrixArch is the only architecture that has wgmma.
const matrixArch = "sm_90a"

// options are NVRTC's for a unit; matrices says that its kernels have matrix units.
func (d *Device) options(matrices bool) []string {
	arch := d.arch
	if matrices {
		arch = matrixArch
	}
	return append([]string{"--gpu-architecture=" + arch}, msl.CUDAOptions...)
}

// runs returns an error where the GPU lacks what k is made of.
func (d *Device) runs(k *plan.Kernel) error {
	if msl.Matrices(k) && d.arch+"a" != matrixArch {
		return fmt.Errorf("kernel %s multiplies by matrix units (mpp::tensor_ops::matmul2d), here wgmma, which this GPU (%s) lacks: it takes one of compute capability 9.0; "+
			"compile for a target without matrix units", k.Name, d.arch)
	}
	return nil
}

// compile returns the machine code of kernels, from the cache where it stands
// there, otherwise several kernels a unit and several units at a time. A multiprocessor
// gets share[i] threadgroups of kernel i in a run, 0 where that depends on the run.
func (d *Device) compile(ctx context.Context, kernels []plan.Kernel, share []int, progress fruntime.Progress) (*units, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	u := &units{code: map[string][]byte{}, of: make([]string, len(kernels))}
	store := cache{d.opts.CacheDir}
	keys := make([]string, len(kernels))
	var plain, matrices []int // kernels that no cache held
	for i := range kernels {
		if err := d.runs(&kernels[i]); err != nil {
			return nil, err
		}
		var err error
		if keys[i], err = d.key(&kernels[i], share[i]); err != nil {
			return nil, err
		}
		name, code := store.find(keys[i], u.code)
		if name == "" {
			if msl.Matrices(&kernels[i]) {
				matrices = append(matrices, i)
			} else {
				plain = append(plain, i)
			}
			continue
		}
		u.of[i], u.code[name] = name, code
	}
	u.fresh = len(plain) + len(matrices)
	c := compilation{d: d, kernels: kernels, share: share, keys: keys, store: store, units: u, done: len(kernels) - u.fresh, progress: progress}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, members := range append(split(plain), split(matrices)...) {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return c.settle(members)
		})
	}
	return u, group.Wait()
}

// split cuts the list into the fewest parts of at most unitKernels, of about one
// length.
func split(list []int) [][]int {
	parts := (len(list) + unitKernels - 1) / unitKernels
	out := make([][]int, parts)
	for i := range out {
		out[i] = list[i*len(list)/parts : (i+1)*len(list)/parts]
	}
	return out
}

// unit compiles kernels together, all of them with matrix units or none. Where that fails, each is compiled alone, for an
// error that names one.
func (d *Device) unit(registers msl.Registers, kernels []*plan.Kernel) ([]byte, error) {
	text, err := msl.CUDA(registers, kernels...)
	if err != nil {
		return nil, err
	}
	code, err := d.rtc.compile(kernels[0].File, text, d.options(msl.Matrices(kernels[0])))
	switch {
	case err == nil:
		return code, nil
	case len(kernels) == 1:
		return nil, fmt.Errorf("kernel %s does not compile: %s", kernels[0].Name, firstError(err.Error()))
	}
	for _, k := range kernels {
		if _, alone := d.unit(registers, []*plan.Kernel{k}); alone != nil {
			return nil, alone
		}
	}
	return nil, fmt.Errorf("kernels %s and %d more compile alone and not together: %s", kernels[0].Name, len(kernels)-1, firstError(err.Error()))
}

var compileError = regexp.MustCompile(`(?m)^(.+)\((\d+)\): (?:catastrophic )?error: (.*)$`)

// firstError returns the first error of a compile log as file:line: text; the
// line directives of the kernel make that the stage's file and line.
func firstError(log string) string {
	m := compileError.FindStringSubmatch(log)
	if m == nil {
		return strings.SplitN(log, "\n", 2)[0]
	}
	return fmt.Sprintf("%s:%s: %s", m[1], m[2], m[3])
}
