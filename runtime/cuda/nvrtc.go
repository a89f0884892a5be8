package cuda

import (
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"unsafe"

	"foundry/runtime/child"
	"github.com/ebitengine/purego"
)

// nvrtc is CUDA's run-time compiler.
type nvrtc struct {
	*library
	version string
}

var nvrtcNames = []string{
	"nvrtcVersion", "nvrtcGetErrorString", "nvrtcCreateProgram", "nvrtcDestroyProgram", "nvrtcCompileProgram",
	"nvrtcGetProgramLogSize", "nvrtcGetProgramLog", "nvrtcGetCUBINSize", "nvrtcGetCUBIN",
}

// nvrtcPatterns are the places where toolkits and Python wheels put the library,
// behind the loader's own search path.
var nvrtcPatterns = []string{
	"/usr/local/cuda*/lib64/libnvrtc.so.1[23]",
	"/usr/local/cuda*/targets/*/lib/libnvrtc.so.1[23]",
	"/usr/lib/*-linux-gnu/libnvrtc.so.1[23]",
	"/opt/*/.venv/lib/python3*/site-packages/nvidia/*/lib/libnvrtc.so.1[23]",
	"/usr/lib/python3*/site-packages/nvidia/*/lib/libnvrtc.so.1[23]",
	"/usr/local/lib/python3*/*-packages/nvidia/*/lib/libnvrtc.so.1[23]",
}

func openNVRTC() (*nvrtc, error) {
	if runtime.GOOS != "linux" {
		return nil, child.Absent("no NVRTC is known for " + runtime.GOOS)
	}
	paths := []string{"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"}
	for _, p := range nvrtcPatterns {
		found, err := filepath.Glob(p)
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	l, err := open("NVRTC, CUDA's run-time compiler", paths, nvrtcNames)
	if err != nil {
		return nil, fmt.Errorf("%w; it comes with the CUDA toolkit (12 or 13), or alone: pip install nvidia-cuda-nvrtc, with its folder in LD_LIBRARY_PATH", err)
	}
	n := &nvrtc{library: l}
	var major, minor int32
	if err := n.call("nvrtcVersion", uintptr(unsafe.Pointer(&major)), uintptr(unsafe.Pointer(&minor))); err != nil {
		return nil, err
	}
	n.version = fmt.Sprintf("%d.%d", major, minor)
	return n, nil
}

//go:uintptrescapes
func (n *nvrtc) call(name string, args ...uintptr) error {
	r, _, _ := purego.SyscallN(n.fn[name], args...)
	if int32(r) == 0 {
		return nil
	}
	s, _, _ := purego.SyscallN(n.fn["nvrtcGetErrorString"], r)
	return &result{name, int(int32(r)), cString(*(**byte)(unsafe.Pointer(&s)))}
}

// serialised matches what ptxas says where it makes wgmma wait, which is asynchronous as
// it is written: the products would be right and slow.
var serialised = regexp.MustCompile(`\(C75\d\d\) (.*(?:wgmma|GMMA).*)`)

// compile turns CUDA C++ text into a cubin for the given options. The error is
// the compiler's log, or what it says of wgmma.
func (n *nvrtc) compile(name, text string, options []string) ([]byte, error) {
	src, cname := append([]byte(text), 0), append([]byte(name), 0)
	var prog uintptr
	if err := n.call("nvrtcCreateProgram", uintptr(unsafe.Pointer(&prog)), uintptr(unsafe.Pointer(&src[0])),
		uintptr(unsafe.Pointer(&cname[0])), 0, 0, 0); err != nil {
		return nil, err
	}
	defer n.call("nvrtcDestroyProgram", uintptr(unsafe.Pointer(&prog)))
	opts := make([][]byte, len(options))
	ptrs := make([]*byte, len(options)+1)
	for i, o := range options {
		opts[i] = append([]byte(o), 0)
		ptrs[i] = &opts[i][0]
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	for _, p := range ptrs[:len(options)] {
		pin.Pin(p)
	}
	if err := n.call("nvrtcCompileProgram", prog, uintptr(len(options)), uintptr(unsafe.Pointer(&ptrs[0]))); err != nil {
		log := n.log(prog)
		if log == "" {
			return nil, err
		}
		return nil, fmt.Errorf("%s", log)
	}
	if m := serialised.FindStringSubmatch(n.log(prog)); m != nil {
		return nil, fmt.Errorf("the compiler puts waits between products of matrix units: %s", m[1])
	}
	var size uint64
	if err := n.call("nvrtcGetCUBINSize", prog, uintptr(unsafe.Pointer(&size))); err != nil {
		return nil, err
	}
	out := make([]byte, size)
	return out, n.call("nvrtcGetCUBIN", prog, uintptr(unsafe.Pointer(&out[0])))
}

func (n *nvrtc) log(prog uintptr) string {
	var size uint64
	if n.call("nvrtcGetProgramLogSize", prog, uintptr(unsafe.Pointer(&size))) != nil || size < 2 {
		return ""
	}
	b := make([]byte, size)
	if n.call("nvrtcGetProgramLog", prog, uintptr(unsafe.Pointer(&b[0]))) != nil {
		return ""
	}
	return strings.TrimRight(string(b), "\x00\n")
}
