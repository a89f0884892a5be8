package mtl

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// id is an Objective-C object, class or NULL; sel a selector.
type (
	id  = uintptr
	sel = uintptr
)

// size is MTLSize and rng NSRange: structs that calls take by value.
type (
	size struct{ Width, Height, Depth uint64 }
	rng  struct{ Location, Length uint64 }
)

// Libraries are the paths of the shared libraries that hold the Objective-C
// runtime and Metal. Without CoreGraphics Metal has no default GPU.
type Libraries struct{ ObjC, Foundation, CoreGraphics, Metal string }

// SystemLibraries are those of macOS.
func SystemLibraries() Libraries {
	return Libraries{
		ObjC:         "/usr/lib/libobjc.A.dylib",
		Foundation:   "/System/Library/Frameworks/Foundation.framework/Foundation",
		CoreGraphics: "/System/Library/Frameworks/CoreGraphics.framework/CoreGraphics",
		Metal:        "/System/Library/Frameworks/Metal.framework/Metal",
	}
}

// method is one message with the types of its arguments; Call's first two are
// the receiver and Sel.
type method[F any] struct {
	Sel  sel
	Call F
}

// bridge is the Objective-C runtime and the messages of messages.go, looked up
// once.
type bridge struct {
	messages
	classes

	getClass     func(name string) id
	registerName func(name string) sel
	allocInit    func(class id) id

	// Addresses of what the dispatch loop calls through SyscallN: a registered
	// function would allocate.
	msgSend, poolPush, poolPop, retainAddr, releaseAddr uintptr

	systemDefaultDevice func() id
	copyAllDevices      func() id

	timestamp id // the name of the counter set that holds the GPU's clock
}

func load(l Libraries) (*bridge, error) {
	b := &bridge{}
	handles := make(map[string]uintptr)
	for _, path := range []string{l.ObjC, l.Foundation, l.CoreGraphics, l.Metal} {
		h, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
		if err != nil {
			return nil, fmt.Errorf("metal: %s does not load: %w", path, err)
		}
		handles[path] = h
	}
	for _, f := range []struct {
		lib, name string
		fn        any
	}{
		{l.ObjC, "objc_getClass", &b.getClass},
		{l.ObjC, "sel_registerName", &b.registerName},
		{l.ObjC, "objc_alloc_init", &b.allocInit},
		{l.Metal, "MTLCreateSystemDefaultDevice", &b.systemDefaultDevice},
		{l.Metal, "MTLCopyAllDevices", &b.copyAllDevices},
	} {
		p, err := purego.Dlsym(handles[f.lib], f.name)
		if err != nil {
			return nil, fmt.Errorf("metal: %s has no %s: %w", f.lib, f.name, err)
		}
		purego.RegisterFunc(f.fn, p)
	}
	var timestamp uintptr
	for _, a := range []struct {
		lib, name string
		to        *uintptr
	}{
		{l.ObjC, "objc_msgSend", &b.msgSend},
		{l.ObjC, "objc_retain", &b.retainAddr},
		{l.ObjC, "objc_release", &b.releaseAddr},
		{l.ObjC, "objc_autoreleasePoolPush", &b.poolPush},
		{l.ObjC, "objc_autoreleasePoolPop", &b.poolPop},
		{l.Metal, "MTLCommonCounterSetTimestamp", &timestamp},
	} {
		p, err := purego.Dlsym(handles[a.lib], a.name)
		if err != nil {
			return nil, fmt.Errorf("metal: %s has no %s: %w", a.lib, a.name, err)
		}
		*a.to = p
	}
	b.timestamp = **(**id)(unsafe.Pointer(&timestamp))
	return b, b.bind()
}

// bind fills the messages and classes from their tags.
func (b *bridge) bind() error {
	m := reflect.ValueOf(&b.messages).Elem()
	for i := range m.NumField() {
		f := open(m.Field(i))
		name := messageOf(m.Type().Field(i)).selector
		f.FieldByName("Sel").SetUint(uint64(b.registerName(name)))
		purego.RegisterFunc(f.FieldByName("Call").Addr().Interface(), b.msgSend)
	}
	c := reflect.ValueOf(&b.classes).Elem()
	for i := range c.NumField() {
		name := c.Type().Field(i).Name
		class := b.getClass(name)
		if class == 0 {
			return fmt.Errorf("metal: there is no class %s", name)
		}
		open(c.Field(i)).SetUint(uint64(class))
	}
	return nil
}

// open lifts reflection's guard of our own unexported fields.
func open(f reflect.Value) reflect.Value {
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
}

// message is a row of the table that the tags of messages make up.
type message struct {
	static          bool
	class, selector string
}

func messageOf(f reflect.StructField) message {
	parts := strings.Fields(f.Tag.Get("objc"))
	return message{parts[0] == "+", parts[1], parts[2]}
}

// pool runs f inside an autorelease pool on one OS thread.
func (b *bridge) pool(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, _, _ := purego.SyscallN(b.poolPush)
	defer purego.SyscallN(b.poolPop, p)
	return f()
}

func (b *bridge) retain(o id) id {
	purego.SyscallN(b.retainAddr, o)
	return o
}

func (b *bridge) release(o id) { purego.SyscallN(b.releaseAddr, o) }

// str returns an autoreleased NSString.
func (b *bridge) str(s string) id {
	return b.nsString.Call(b.NSString, b.nsString.Sel, s, NSUTF8StringEncoding)
}

// goString copies an NSString.
func (b *bridge) goString(s id) string {
	if s == 0 {
		return ""
	}
	p := b.utf8String.Call(s, b.utf8String.Sel)
	if p == 0 {
		return ""
	}
	q := *(**byte)(unsafe.Pointer(&p))
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(q), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(q, n))
}

// failure turns an NSError into a Go error; o may be NULL.
func (b *bridge) failure(what string, o id) error {
	if o == 0 {
		return fmt.Errorf("metal: %s, and Metal gave no reason", what)
	}
	text := b.goString(b.localizedDescription.Call(o, b.localizedDescription.Sel))
	return fmt.Errorf("metal: %s: %s (code %d)", what, firstError(text), int64(b.errorCode.Call(o, b.errorCode.Sel)))
}

// firstError is the line of a description that says what is wrong: a compiler's is
// many lines, with places as file:line:column, which kernels' #line makes a stage's.
func firstError(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, l := range lines {
		if strings.Contains(l, "error:") {
			return strings.TrimSpace(l)
		}
	}
	return lines[0]
}
