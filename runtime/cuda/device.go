// Package cuda turns a plan's MSL into kernels on an NVIDIA GPU: the same text
// as on Apple's, compiled by NVRTC against runtime/msl's header, launched
// through the driver API with purego. No toolkit, no cgo.
//
// A simdgroup is a warp, threadgroup memory is shared memory, a threadgroup a
// block. Dispatches run in order on one stream; a recording becomes a CUDA graph
// whose kernels are launched with programmatic dependent launch, so that a
// kernel's preload phase overlaps its predecessor's tail.
//
// Read next: program.go for compilation, encoder.go for launches.
package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"foundry/ir/names"
	"foundry/ir/target"
	fruntime "foundry/runtime"
	"foundry/runtime/child"
)

// Options choose a GPU and a place for compiled kernels.
type Options struct {
	Ordinal  int    // the GPU's number
	CacheDir string // the folder of compiled kernels; empty: none are kept
	// Dependent launches kernels so that their preload phase may overlap the
	// predecessor's tail (programmatic dependent launch).
	Dependent bool
	// TrustKernels compiles kernels whatever their text; all others must pass the gate.
	TrustKernels bool
}

// Device is one NVIDIA GPU.
type Device struct {
	drv       *driver
	rtc       *nvrtc
	opts      Options
	ordinal   int32
	ctx       uintptr
	peeks     uintptr // stream of copies that wait for no kernel
	info      fruntime.Info
	arch      string // the architecture, such as sm_90
	sharedMax int
	cores     int // multiprocessors
	startup   fruntime.Startup
	mu        sync.Mutex
	closed    bool
}

// Open starts the driver, takes the GPU and loads NVRTC. The error says what was
// looked for and what to install.
func Open(o Options) (*Device, error) {
	d := &Device{opts: o}
	if err := d.find(); err != nil {
		return nil, err
	}
	d.startup.Note(fruntime.Phase{Name: "start the driver", Seconds: d.drv.startTook.Seconds()})
	start := time.Now()
	var err error
	if d.rtc, err = openNVRTC(); err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	d.startup.Add(fruntime.Phase{Name: "open NVRTC"}, start)
	if err := d.start(); err != nil {
		return nil, err
	}
	return d, nil
}

// start makes what a device that was found, and whose NVRTC is open, runs in.
func (d *Device) start() error {
	start := time.Now()
	d.info.Note += ", NVRTC " + d.rtc.version
	if err := d.drv.call("cuDevicePrimaryCtxRetain", uintptr(unsafe.Pointer(&d.ctx)), uintptr(d.ordinal)); err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	err := d.do(func() error {
		return d.drv.call("cuStreamCreate", uintptr(unsafe.Pointer(&d.peeks)), streamNonBlocking)
	})
	if err != nil {
		return errors.Join(err, d.Close())
	}
	d.startup.Add(fruntime.Phase{Name: "make the context"}, start)
	return nil
}

// Target names the entry of ir/target for a GPU, "" where it has none or no GPU is
// found.
func Target(ordinal int) string {
	d := &Device{opts: Options{Ordinal: ordinal}}
	if err := d.find(); err != nil {
		return ""
	}
	return d.info.Target
}

// find starts the driver and asks about the GPU.
func (d *Device) find() (err error) {
	if d.drv, err = openDriver(); err != nil {
		if _, rtc := openNVRTC(); rtc != nil {
			err = fmt.Errorf("%w; %w", err, rtc)
		}
		return fmt.Errorf("cuda: %w; install the NVIDIA driver, or take --device cpu", err)
	}
	return d.pick()
}

// pick asks the driver about the GPU.
func (d *Device) pick() error {
	var count int32
	if err := d.drv.call("cuDeviceGetCount", uintptr(unsafe.Pointer(&count))); err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	if d.opts.Ordinal < 0 || d.opts.Ordinal >= int(count) {
		return child.Absent(fmt.Sprintf("cuda: GPU %d asked for, the driver has %d", d.opts.Ordinal, count))
	}
	if err := d.drv.call("cuDeviceGet", uintptr(unsafe.Pointer(&d.ordinal)), uintptr(d.opts.Ordinal)); err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	if err := d.describe(); err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	return nil
}

func (d *Device) describe() error {
	name := make([]byte, 256)
	if err := d.drv.call("cuDeviceGetName", uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)), uintptr(d.ordinal)); err != nil {
		return err
	}
	var total uint64
	if err := d.drv.call("cuDeviceTotalMem_v2", uintptr(unsafe.Pointer(&total)), uintptr(d.ordinal)); err != nil {
		return err
	}
	var values [4]int
	for i, a := range []int{attrMajor, attrMinor, attrMultiprocessors, attrMaxSharedOptin} {
		v, err := d.drv.attribute(d.ordinal, a)
		if err != nil {
			return err
		}
		values[i] = v
	}
	var version int32
	if err := d.drv.call("cuDriverGetVersion", uintptr(unsafe.Pointer(&version))); err != nil {
		return err
	}
	d.arch = fmt.Sprintf("sm_%d%d", values[0], values[1])
	d.cores, d.sharedMax = values[2], values[3]
	d.info = fruntime.Info{
		Kind: "cuda", Name: cString(&name[0]), MemoryBytes: int64(total),
		Note: fmt.Sprintf("%s, %d multiprocessors, driver API %d.%d", d.arch, values[2], version/1000, version%1000/10),
	}
	d.info.Target = target.NVIDIA(d.info.Name, values[0])
	return nil
}

// Startup says what opening the GPU took.
func (d *Device) Startup() []fruntime.Phase { return d.startup.Phases() }

// Info describes the GPU.
func (d *Device) Info() fruntime.Info { return d.info }

// do runs f on an OS thread where the device's context is current.
func (d *Device) do(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := d.drv.call("cuCtxSetCurrent", d.ctx); err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	if err := f(); err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	return nil
}

// Close gives the GPU back. Memory and programs must be closed before.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	var err error
	if d.peeks != 0 {
		err = d.do(func() error { return d.drv.call("cuStreamDestroy_v2", d.peeks) })
	}
	return errors.Join(err, d.drv.call("cuDevicePrimaryCtxRelease_v2", uintptr(d.ordinal)))
}

// Alloc returns zeroed device memory.
func (d *Device) Alloc(bytes int64, _ fruntime.Use) (fruntime.Memory, error) {
	if bytes < 0 {
		return nil, fmt.Errorf("cuda: an allocation of %d bytes", bytes)
	}
	m := &memory{d: d, bytes: bytes}
	err := d.do(func() error {
		n := uintptr(max(bytes, 16))
		if err := d.drv.call("cuMemAlloc_v2", uintptr(unsafe.Pointer(&m.ptr)), n); err != nil {
			var r *result
			if errors.As(err, &r) && r.code == outOfMemory {
				var free, total uint64
				_ = d.drv.call("cuMemGetInfo_v2", uintptr(unsafe.Pointer(&free)), uintptr(unsafe.Pointer(&total)))
				return fmt.Errorf("out of memory: %s wanted, %s of %s free; take a smaller --context or quantised --weights", names.Bytes(bytes), names.Bytes(int64(free)), names.Bytes(int64(total)))
			}
			return err
		}
		return d.drv.call("cuMemsetD8_v2", m.ptr, 0, n)
	})
	if err != nil {
		return nil, errors.Join(err, m.Free())
	}
	return m, nil
}

// memory is one allocation.
type memory struct {
	d     *Device
	ptr   uintptr
	bytes int64
}

func (m *memory) Bytes() int64 { return m.bytes }

func (m *memory) check(offset int64, b []byte) error {
	if offset < 0 || offset+int64(len(b)) > m.bytes {
		return fmt.Errorf("cuda: bytes %d..%d of an allocation of %d", offset, offset+int64(len(b)), m.bytes)
	}
	return nil
}

func (m *memory) Write(offset int64, b []byte) error {
	if err := m.check(offset, b); err != nil || len(b) == 0 {
		return err
	}
	return m.d.do(func() error {
		return m.d.drv.call("cuMemcpyHtoD_v2", m.ptr+uintptr(offset), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	})
}

func (m *memory) Read(offset int64, b []byte) error {
	if err := m.check(offset, b); err != nil || len(b) == 0 {
		return err
	}
	return m.d.do(func() error {
		return m.d.drv.call("cuMemcpyDtoH_v2", uintptr(unsafe.Pointer(&b[0])), m.ptr+uintptr(offset), uintptr(len(b)))
	})
}

// Peek implements runtime.Peeker: Read waits for the streams of all programs.
func (m *memory) Peek(offset int64, b []byte) error {
	if err := m.check(offset, b); err != nil || len(b) == 0 {
		return err
	}
	return m.d.do(func() error {
		if err := m.d.drv.call("cuMemcpyDtoHAsync_v2", uintptr(unsafe.Pointer(&b[0])), m.ptr+uintptr(offset), uintptr(len(b)), m.d.peeks); err != nil {
			return err
		}
		return m.d.drv.call("cuStreamSynchronize", m.d.peeks)
	})
}

func (m *memory) Free() error {
	if m.ptr == 0 {
		return nil
	}
	p := m.ptr
	m.ptr = 0
	return m.d.do(func() error { return m.d.drv.call("cuMemFree_v2", p) })
}
