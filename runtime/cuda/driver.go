package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"foundry/runtime/child"
	"github.com/ebitengine/purego"
)

// driver is the part of CUDA's driver API that this package calls. Handles are
// the C pointers as uintptr.
type driver struct {
	*library
	startTook time.Duration // time to load and to start
}

var driverPaths = map[string][]string{
	"linux": {"libcuda.so.1", "libcuda.so", "/usr/local/nvidia/lib64/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"},
}

var driverNames = []string{
	"cuInit", "cuDriverGetVersion", "cuGetErrorName", "cuGetErrorString",
	"cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceTotalMem_v2", "cuDeviceGetAttribute",
	"cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease_v2", "cuCtxSetCurrent", "cuMemGetInfo_v2",
	"cuMemAlloc_v2", "cuMemFree_v2", "cuMemcpyHtoD_v2", "cuMemcpyDtoH_v2", "cuMemcpyDtoHAsync_v2", "cuMemsetD8_v2",
	"cuModuleLoadData", "cuModuleUnload", "cuModuleGetFunction", "cuFuncSetAttribute", "cuLaunchKernelEx",
	"cuStreamCreate", "cuStreamDestroy_v2", "cuStreamSynchronize", "cuStreamBeginCapture_v2", "cuStreamEndCapture",
	"cuGraphInstantiateWithFlags", "cuGraphLaunch", "cuGraphExecDestroy", "cuGraphDestroy",
	"cuEventCreate", "cuEventDestroy_v2", "cuEventRecord", "cuEventSynchronize", "cuEventElapsedTime_v2",
}

// Names of newer entry points and the ones that older drivers have instead.
var driverFallback = map[string]string{"cuEventElapsedTime_v2": "cuEventElapsedTime"}

// openDriver loads and starts the driver: once a process, as the driver has it.
var openDriver = sync.OnceValues(func() (*driver, error) {
	start := time.Now()
	paths := driverPaths[runtime.GOOS]
	if len(paths) == 0 {
		return nil, child.Absent("no NVIDIA driver is known for " + runtime.GOOS)
	}
	names := make([]string, len(driverNames))
	copy(names, driverNames)
	l, err := open("NVIDIA driver", paths, names)
	if err != nil {
		for newer, older := range driverFallback {
			for i, n := range names {
				if n == newer {
					names[i] = older
				}
			}
		}
		var err2 error
		if l, err2 = open("NVIDIA driver", paths, names); err2 != nil {
			return nil, err
		}
		for newer, older := range driverFallback {
			l.fn[newer] = l.fn[older]
		}
	}
	d := &driver{library: l}
	if err := d.call("cuInit", 0); err != nil {
		text := fmt.Sprintf("the NVIDIA driver %s does not start: %v", l.path, err)
		if code := (*result)(nil); errors.As(err, &code) && code.code == noDevice {
			return nil, child.Absent(text)
		}
		return nil, errors.New(text)
	}
	d.startTook = time.Since(start)
	return d, nil
})

// result is a CUresult other than success.
type result struct {
	fn   string
	code int
	text string
}

func (r *result) Error() string { return fmt.Sprintf("%s: %s (%d)", r.fn, r.text, r.code) }

// Codes of results.
const (
	outOfMemory = 2
	noDevice    = 100
)

// call runs one driver function whose result is a CUresult.
//
//go:uintptrescapes
func (d *driver) call(name string, args ...uintptr) error {
	r, _, _ := purego.SyscallN(d.fn[name], args...)
	if code := int(int32(r)); code != 0 {
		return &result{name, code, d.errorText(code)}
	}
	return nil
}

func (d *driver) errorText(code int) string {
	var p *byte
	if r, _, _ := purego.SyscallN(d.fn["cuGetErrorString"], uintptr(code), uintptr(unsafe.Pointer(&p))); int32(r) != 0 || p == nil {
		return "unknown error"
	}
	return cString(p)
}

func cString(p *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// Device attributes (CUdevice_attribute).
const (
	attrMultiprocessors    = 16
	attrMaxSharedOptin     = 97
	attrMajor              = 75
	attrMinor              = 76
	attrL2Bytes            = 38
	funcMaxDynamicShared   = 8 // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
	launchProgrammatic     = 6 // CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
	streamNonBlocking      = 1
	captureModeThreadLocal = 1
	eventDisableTiming     = 2 // CU_EVENT_DISABLE_TIMING
)

func (d *driver) attribute(dev int32, attr int) (int, error) {
	var v int32
	err := d.call("cuDeviceGetAttribute", uintptr(unsafe.Pointer(&v)), uintptr(attr), uintptr(dev))
	return int(v), err
}

// launchConfig is CUlaunchConfig.
type launchConfig struct {
	grid, block [3]uint32
	shared      uint32
	_           uint32
	stream      uintptr
	attrs       *launchAttr
	numAttrs    uint32
	_           uint32
}

// launchAttr is CUlaunchAttribute: an id and a union of 64 bytes.
type launchAttr struct {
	id    uint32
	_     uint32
	value [64]byte
}
