package cuda

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
	"github.com/stretchr/testify/require"
)

// emulated is the driver and NVRTC in Go: functions that C would call, so that what this
// package says to both is held on machines without either. Streams run at once, in order;
// device memory is at addresses of its own.
type emulated struct {
	mu       sync.Mutex
	log      []string       // calls that are not of memory
	calls    map[string]int // by name
	failAt   map[string]int // the n-th call of a name fails, counting from 1
	live     map[uintptr]string
	next     uintptr
	memory   map[uintptr][]byte
	launched []emulatedLaunch
	capture  uintptr // the stream that is captured
	graphs   map[uintptr][]emulatedLaunch
	kernels  map[uintptr]string // functions of modules
	programs map[uintptr]*emulatedProgram
	gpu      emulatedGPU
	compiled []string // options of each unit that was compiled, and its kernels
}

type emulatedGPU struct {
	name           string
	attributes     map[int]int32
	total          uint64
	version        int32
	registers      map[string][3]uint32 // by kernel: as many as it likes, weighed, and with room for several threadgroups
	compileLog     string               // said of what compiles
	elapsed        float32              // ms between two events
	errorUnknown   bool
	programVersion [2]int32
}

type emulatedLaunch struct {
	kernel      string
	grid, block [3]uint32
	shared      uint32
	values      []uintptr
	overlaps    bool
	stream      uintptr
}

type emulatedProgram struct{ text, name, log, code string }

// machine is the one that the functions act on: purego's are never given back, so there is
// one of each for all tests.
var machine *emulated

var emulatedFunctions = sync.OnceValue(func() map[string]uintptr {
	out := map[string]uintptr{}
	for _, name := range slices.Concat(driverNames, nvrtcNames) {
		out[name] = purego.NewCallback(func(a, b, c, d, e, f uintptr) uintptr {
			return machine.call(name, [6]uintptr{a, b, c, d, e, f})
		})
	}
	return out
})

// at is what stands at an address of the host.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

func h200() emulatedGPU {
	return emulatedGPU{name: "NVIDIA H200", attributes: map[int]int32{attrMajor: 9, attrMinor: 0, attrMultiprocessors: 132, attrMaxSharedOptin: 227 << 10},
		total: 141 << 30, version: 12080, registers: map[string][3]uint32{}, elapsed: 1.5, programVersion: [2]int32{12, 8}}
}

// emulatedDevice is an H200 of this driver, open.
func emulatedDevice(t *testing.T, o Options) (*Device, *emulated) {
	t.Helper()
	m := &emulated{calls: map[string]int{}, failAt: map[string]int{}, live: map[uintptr]string{}, next: 1 << 20, memory: map[uintptr][]byte{},
		graphs: map[uintptr][]emulatedLaunch{}, kernels: map[uintptr]string{}, programs: map[uintptr]*emulatedProgram{}, gpu: h200()}
	machine = m
	d := emulatedFound(o)
	require.NoError(t, d.pick())
	require.NoError(t, d.start())
	m.log = nil
	return d, m
}

// emulatedFound is a device whose libraries are the machine's.
func emulatedFound(o Options) *Device {
	l := &library{path: "emulated", fn: emulatedFunctions()}
	return &Device{drv: &driver{library: l}, rtc: &nvrtc{library: l, version: "12.8"}, opts: o}
}

// handle makes one of a kind.
func (m *emulated) handle(to uintptr, kind string) uintptr {
	m.next += 64
	*at[uintptr](to), m.live[m.next] = m.next, kind
	return m.next
}

func (m *emulated) drop(handle uintptr, kind string) uintptr {
	if m.live[handle] != kind {
		m.log = append(m.log, fmt.Sprintf("no %s %d", kind, handle))
		return 1
	}
	delete(m.live, handle)
	return 0
}

// kinds counts what was not given back.
func (m *emulated) kinds() map[string]int {
	out := map[string]int{}
	for _, kind := range m.live {
		out[kind]++
	}
	return out
}

// bytes is device memory from an address on.
func (m *emulated) bytes(from uintptr) []byte {
	for base, b := range m.memory {
		if base <= from && from < base+uintptr(len(b)) {
			return b[from-base:]
		}
	}
	return nil
}

// events are the calls since the last, without those that go with every one.
func (m *emulated) events() []string {
	out := m.log
	m.log = nil
	return out
}

const (
	errInvalid  = 1 // CUDA_ERROR_INVALID_VALUE
	errCompile  = 6 // NVRTC_ERROR_COMPILATION
	emulatedCtx = 77
)

func (m *emulated) call(name string, a [6]uintptr) uintptr {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch name { // these cannot fail
	case "cuGetErrorString":
		if m.gpu.errorUnknown {
			return errInvalid
		}
		*at[*byte](a[1]) = &[]byte(fmt.Sprintf("error %d\x00", a[0]))[0]
		return 0
	case "nvrtcGetErrorString":
		return uintptr(unsafe.Pointer(&emulatedError[0]))
	}
	m.calls[name]++
	switch name {
	case "cuCtxSetCurrent", "cuMemsetD8_v2":
	default:
		m.log = append(m.log, name)
	}
	if m.failAt[name] == m.calls[name] {
		return 999
	}
	switch name {
	case "cuCtxSetCurrent":
		if a[0] != emulatedCtx {
			return errInvalid
		}
	case "cuDeviceGetCount":
		*at[int32](a[0]) = 2
	case "cuDeviceGet":
		*at[int32](a[0]) = int32(a[1]) + 3
	case "cuDevicePrimaryCtxRetain":
		if int32(a[1]) != 3 {
			return errInvalid
		}
		*at[uintptr](a[0]) = emulatedCtx
	case "cuDeviceGetName":
		copy(unsafe.Slice(at[byte](a[0]), int(a[1])), m.gpu.name+"\x00")
	case "cuDeviceTotalMem_v2":
		*at[uint64](a[0]) = m.gpu.total
	case "cuDeviceGetAttribute":
		*at[int32](a[0]) = m.gpu.attributes[int(a[1])]
	case "cuDriverGetVersion":
		*at[int32](a[0]) = m.gpu.version
	case "cuDevicePrimaryCtxRelease_v2":
		if int32(a[0]) != 3 {
			return errInvalid
		}
	case "cuMemGetInfo_v2":
		*at[uint64](a[0]), *at[uint64](a[1]) = m.gpu.total/2, m.gpu.total
	case "cuMemAlloc_v2":
		if uint64(a[1]) > m.gpu.total {
			return outOfMemory
		}
		p := m.handle(a[0], "memory")
		m.memory[p] = bytes.Repeat([]byte{0xee}, int(a[1])) // not zero, as a GPU's
		m.next += a[1]
	case "cuMemFree_v2":
		delete(m.memory, a[0])
		return m.drop(a[0], "memory")
	case "cuMemsetD8_v2":
		for i := range m.bytes(a[0])[:a[2]] {
			m.bytes(a[0])[i] = byte(a[1])
		}
	case "cuMemcpyHtoD_v2":
		copy(m.bytes(a[0]), unsafe.Slice(at[byte](a[1]), int(a[2])))
	case "cuMemcpyDtoH_v2":
		copy(unsafe.Slice(at[byte](a[0]), int(a[2])), m.bytes(a[1]))
	case "cuMemcpyDtoHAsync_v2":
		if m.live[a[3]] != "stream" {
			return errInvalid
		}
		copy(unsafe.Slice(at[byte](a[0]), int(a[2])), m.bytes(a[1]))
	case "cuStreamCreate":
		m.log[len(m.log)-1] += fmt.Sprint(" ", a[1])
		m.handle(a[0], "stream")
	case "cuStreamDestroy_v2":
		return m.drop(a[0], "stream")
	case "cuStreamSynchronize":
		if m.live[a[0]] != "stream" {
			return errInvalid
		}
	case "cuStreamBeginCapture_v2":
		if a[1] != captureModeThreadLocal || m.live[a[0]] != "stream" {
			return errInvalid
		}
		m.capture = a[0]
	case "cuStreamEndCapture":
		if m.capture != a[0] {
			return errInvalid
		}
		m.capture = 0
		g := m.handle(a[1], "graph")
		m.graphs[g], m.launched = m.launched, nil
	case "cuGraphDestroy":
		return m.drop(a[0], "graph")
	case "cuGraphInstantiateWithFlags":
		m.graphs[m.handle(a[0], "executable graph")] = m.graphs[a[1]]
	case "cuGraphExecDestroy":
		return m.drop(a[0], "executable graph")
	case "cuGraphLaunch":
		if m.live[a[0]] != "executable graph" || m.live[a[1]] != "stream" {
			return errInvalid
		}
		m.launched = append(m.launched, m.graphs[a[0]]...)
	case "cuEventCreate":
		m.log[len(m.log)-1] += fmt.Sprint(" ", a[1])
		m.handle(a[0], "event")
	case "cuEventDestroy_v2":
		return m.drop(a[0], "event")
	case "cuEventRecord":
		if m.live[a[0]] != "event" || m.live[a[1]] != "stream" {
			return errInvalid
		}
	case "cuEventSynchronize":
		if m.live[a[0]] != "event" {
			return errInvalid
		}
	case "cuEventElapsedTime_v2":
		if a[1] >= a[2] { // the later event was made later
			return errInvalid
		}
		*at[float32](a[0]) = m.gpu.elapsed
	case "cuModuleLoadData":
		p := m.handle(a[0], "module")
		m.log[len(m.log)-1] += fmt.Sprintf(" %x", *at[[4]byte](a[1]))
		m.kernels[p] = ""
	case "cuModuleUnload":
		return m.drop(a[0], "module")
	case "cuModuleGetFunction":
		if m.live[a[1]] != "module" {
			return errInvalid
		}
		m.next += 64
		*at[uintptr](a[0]), m.kernels[m.next] = m.next, cString(at[byte](a[2]))
	case "cuFuncSetAttribute":
		m.log[len(m.log)-1] += fmt.Sprintf(" %s %d %d", m.kernels[a[0]], a[1], a[2])
	case "cuLaunchKernelEx":
		return m.launch(at[launchConfig](a[0]), a[1], a[2])
	case "nvrtcVersion":
		*at[int32](a[0]), *at[int32](a[1]) = m.gpu.programVersion[0], m.gpu.programVersion[1]
	default:
		return m.compiler(name, a)
	}
	return 0
}

func (m *emulated) launch(c *launchConfig, fn, params uintptr) uintptr {
	if m.capture != 0 && c.stream != m.capture || m.live[c.stream] != "stream" || m.kernels[fn] == "" {
		return errInvalid
	}
	l := emulatedLaunch{kernel: m.kernels[fn], grid: c.grid, block: c.block, shared: c.shared, stream: c.stream, overlaps: c.numAttrs == 1}
	if l.overlaps && (c.attrs.id != launchProgrammatic || c.attrs.value != [64]byte{1}) || c.numAttrs > 1 {
		return errInvalid
	}
	for i := range 2 { // kernels of the tests have two slots
		l.values = append(l.values, **at[*uintptr](params + uintptr(i)*unsafe.Sizeof(params)))
	}
	m.launched = append(m.launched, l)
	return 0
}

var emulatedError = []byte("NVRTC_ERROR\x00")

var entryText = regexp.MustCompile(`__launch_bounds__\((\d+)(, \d)?\) (\w+)\(`)

// compiler is NVRTC: a text compiles unless it has the word missing.
func (m *emulated) compiler(name string, a [6]uintptr) uintptr {
	p := m.programs[a[0]]
	switch name {
	case "nvrtcCreateProgram":
		m.programs[m.handle(a[0], "program")] = &emulatedProgram{text: cString(at[byte](a[1])), name: cString(at[byte](a[2]))}
	case "nvrtcDestroyProgram":
		return m.drop(*at[uintptr](a[0]), "program")
	case "nvrtcCompileProgram":
		var options []string
		for _, o := range unsafe.Slice(at[*byte](a[2]), int(a[1])) {
			options = append(options, cString(o))
		}
		used := map[string]notes{}
		var names []string
		for _, k := range entryText.FindAllStringSubmatch(p.text, -1) {
			bound := 2
			switch k[2] {
			case ", 1":
				bound = 0
			case "":
				bound = 1
			}
			names = append(names, k[3]+k[2])
			used[k[3]] = notes{registers: int(m.gpu.registers[k[3]][bound]), frame: 8}
		}
		m.compiled = append(m.compiled, strings.Join(append(options, names...), " "))
		p.log = m.gpu.compileLog
		if strings.Contains(p.text, "missing") {
			if p.log == "" {
				p.log = "a note\n" + p.name + `(7): error: identifier "missing" is undefined` + "\nand more\n"
			}
			return errCompile
		}
		p.code = string(cubin(used))
	case "nvrtcGetProgramLogSize":
		*at[uint64](a[1]) = uint64(len(p.log) + 1)
	case "nvrtcGetProgramLog":
		copy(unsafe.Slice(at[byte](a[1]), len(p.log)+1), p.log+"\x00")
	case "nvrtcGetCUBINSize":
		*at[uint64](a[1]) = uint64(len(p.code))
	case "nvrtcGetCUBIN":
		copy(unsafe.Slice(at[byte](a[1]), len(p.code)), p.code)
	default:
		return errInvalid
	}
	return 0
}

// cubin is an ELF file with notes on kernels, as sm_90a's are: of two versions.
func cubin(used map[string]notes) []byte {
	var names []string
	for name := range used {
		names = append(names, name)
	}
	slices.Sort(names)
	var info []byte
	note := func(attribute byte, symbol, value int) {
		info = append(info, sizedNote, attribute, 8, 0)
		info = binary.LittleEndian.AppendUint32(info, uint32(symbol))
		info = binary.LittleEndian.AppendUint32(info, uint32(value))
	}
	info = append(info, 1, 0x2f, 0xff, 0xff) // a note without a size
	info = append(info, sizedNote, 0x55, 3, 0, 1, 2, 3)
	info = append(info, sizedNote, 0x2f, 4, 0, 0xff, 0xff, 0, 0) // of another size than those that count
	for i, name := range names {
		note(0x2f, i+1, used[name].registers)
		note(0x11, i+1, used[name].frame)
		note(0x12, i+1, 4096) // of another kind
	}
	return elfOf(names, info)
}

const sizedNote = 4

// elfOf is an ELF file of such symbols with a section of notes; without one where info is nil.
func elfOf(symbols []string, info []byte) []byte {
	strtab, symtab := []byte{0}, make([]byte, 24)
	for _, s := range symbols {
		entry := make([]byte, 24)
		binary.LittleEndian.PutUint32(entry, uint32(len(strtab)))
		strtab, symtab = append(strtab, s+"\x00"...), append(symtab, entry...)
	}
	names := []byte("\x00.strtab\x00.symtab\x00.nv.info\x00")
	sections := []struct {
		name, kind, link int
		entry            uint64
		data             []byte
	}{{}, {1, int(elf.SHT_STRTAB), 0, 0, strtab}, {9, int(elf.SHT_SYMTAB), 1, 24, symtab}, {1, int(elf.SHT_STRTAB), 0, 0, names}, {17, int(elf.SHT_PROGBITS), 0, 0, info}}
	if info == nil {
		sections = sections[:4]
	}
	out := make([]byte, 64)
	copy(out, "\x7fELF\x02\x01\x01")
	var headers []byte
	for _, s := range sections {
		h := make([]byte, 64)
		binary.LittleEndian.PutUint32(h, uint32(s.name))
		binary.LittleEndian.PutUint32(h[4:], uint32(s.kind))
		binary.LittleEndian.PutUint64(h[24:], uint64(len(out)))
		binary.LittleEndian.PutUint64(h[32:], uint64(len(s.data)))
		binary.LittleEndian.PutUint32(h[40:], uint32(s.link))
		binary.LittleEndian.PutUint64(h[56:], s.entry)
		headers, out = append(headers, h...), append(out, s.data...)
	}
	binary.LittleEndian.PutUint16(out[16:], 2)
	binary.LittleEndian.PutUint16(out[18:], 190)
	binary.LittleEndian.PutUint32(out[20:], 8) // not that of the first bytes
	binary.LittleEndian.PutUint64(out[40:], uint64(len(out)))
	binary.LittleEndian.PutUint16(out[52:], 64)
	binary.LittleEndian.PutUint16(out[58:], 64)
	binary.LittleEndian.PutUint16(out[60:], uint16(len(sections)))
	binary.LittleEndian.PutUint16(out[62:], 3)
	return append(out, headers...)
}

// faults runs f with each call of a function failing in turn, until none fails: the error
// is told and names the function, and check sees what is left.
func (m *emulated) faults(t *testing.T, name string, f func() error, check func()) {
	t.Helper()
	for n := 1; ; n++ {
		m.calls[name], m.failAt[name] = 0, n
		err := f()
		m.failAt[name] = 0
		if m.calls[name] < n {
			require.NoError(t, err)
			require.Greater(t, n, 1, "%s is not called", name)
			return
		}
		var r *result
		require.True(t, errors.As(err, &r), "%s, call %d: %v", name, n, err)
		require.Equal(t, result{name, 999, r.text}, *r)
		check()
	}
}
