package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"foundry/ir/names"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/cuda"
	"foundry/runtime/mtl"
)

// The devices that a model runs on.
const (
	Ref   = "ref"   // the interpreter, on the fused graphs; needs nothing installed
	CPU   = "cpu"   // the plan's Metal text, compiled by the system's C++ compiler
	CUDA  = "cuda"  // the same text on an NVIDIA GPU; cuda:1 is the second
	Metal = "metal" // an Apple GPU; metal:1 is the second
	Auto  = "auto"  // the fastest that works here
)

// Devices lists the names that engines run on.
func Devices() []string { return []string{Ref, CPU, CUDA, Metal, Auto} }

// ParseDevice splits a device name such as cuda:1 into its kind and ordinal.
func ParseDevice(name string) (kind string, ordinal int, err error) {
	kind, number, numbered := strings.Cut(name, ":")
	if !slices.Contains(Devices(), kind) || numbered && kind != CUDA && kind != Metal {
		return "", 0, unknownDevice(name)
	}
	if numbered {
		if ordinal, err = strconv.Atoi(number); err != nil || ordinal < 0 {
			return "", 0, fmt.Errorf("device %q: want a number behind the colon, as in %s:1", name, kind)
		}
	}
	return kind, ordinal, nil
}

// DeviceStatus is what was found of one device.
type DeviceStatus struct {
	Name   string
	Usable bool
	Note   string // what the device is or, when it is not usable, what was looked for and how to get it
}

// FindDevices looks for every device, in the order in which Auto prefers them.
func FindDevices(ctx context.Context, c cpu.Options) []DeviceStatus {
	var out []DeviceStatus
	for _, x := range expectations {
		status := DeviceStatus{Name: x.device}
		dev, err := OpenDevice(ctx, x.device, c)
		if err == nil {
			info := dev.Info()
			status.Usable, status.Note = true, fmt.Sprintf("%s; %s", info.Name, info.Note)
			err = dev.Close()
		}
		if err != nil {
			status.Usable, status.Note = false, err.Error()
		}
		out = append(out, status)
	}
	return append(out, DeviceStatus{Name: Ref, Usable: true, Note: "the interpreter, in float32 with float64 sums; needs nothing installed"})
}

// OpenDevice opens a device that executes kernels. The error says what it lacks.
func OpenDevice(ctx context.Context, name string, c cpu.Options) (runtime.Device, error) {
	kind, ordinal, err := ParseDevice(name)
	if err != nil {
		return nil, err
	}
	switch kind {
	case CPU:
		return cpu.Open(ctx, c)
	case CUDA:
		return opened(cuda.Open(cuda.Options{Ordinal: ordinal, CacheDir: kernelCache(c, CUDA), Dependent: true, TrustKernels: c.TrustKernels}))
	case Metal:
		return opened(mtl.Open(mtl.Options{Ordinal: ordinal, CacheDir: kernelCache(c, Metal), TrustKernels: c.TrustKernels}))
	case Ref:
		return nil, errors.New("ref runs graphs, not plans: take --device cpu for a plan")
	}
	return nil, unknownDevice(name)
}

// Guarded returns the options under which a plan that was read from dir runs: on cpu,
// where kernels run in this process, it gives up its rights before the first one does
// or, where nobody said how, every access is looked at, of which say is told. A plan
// that is trusted runs as any other.
func Guarded(device, dir string, c cpu.Options, say func(line string)) cpu.Options {
	if device != CPU || c.TrustKernels {
		return c
	}
	if c.Confine == nil && !c.Checked {
		c.Checked = true
		say(fmt.Sprintf("%s: every memory access of a plan from disk is looked at, at about 30 times the time; --trust-kernels runs it as it is", dir))
	}
	return c
}

// OpenIndirect opens an Apple GPU with programs that replay what they recorded from
// indirect command buffers.
func OpenIndirect(name string, c cpu.Options) (runtime.Device, error) {
	kind, ordinal, err := ParseDevice(name)
	if err == nil && kind != Metal {
		err = fmt.Errorf("%s replays nothing from indirect command buffers: take metal", name)
	}
	if err != nil {
		return nil, err
	}
	return opened(mtl.Open(mtl.Options{Ordinal: ordinal, CacheDir: kernelCache(c, Metal), Indirect: true, TrustKernels: c.TrustKernels}))
}

// kernelCache is where a GPU's compiled kernels are kept: in the folder that the
// options name, else in the user's cache; "", nowhere, for a user without one.
func kernelCache(c cpu.Options, kind string) string {
	dir := c.CacheDir
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(user, "foundry")
	}
	return filepath.Join(dir, kind)
}

// opened keeps a nil device of a concrete type from becoming a Device.
func opened[D runtime.Device](d D, err error) (runtime.Device, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

func unknownDevice(name string) error {
	return fmt.Errorf("there is no device %q, want one of %s%s", name, strings.Join(Devices(), ", "), names.DidYouMean(name, Devices()))
}
