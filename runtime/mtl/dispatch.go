package mtl

import "unsafe"

// How a message that takes two MTLSize by value, and nothing else, is laid out;
// dispatchArgs is the one of this architecture.

// onStack is amd64's: a struct of 24 bytes lies on the stack, behind the six
// register words.
func onStack(args *[14]uintptr, receiver id, name sel, grid, threads *size) []uintptr {
	*args = [14]uintptr{receiver, name, 0, 0, 0, 0,
		uintptr(grid.Width), uintptr(grid.Height), uintptr(grid.Depth),
		uintptr(threads.Width), uintptr(threads.Height), uintptr(threads.Depth)}
	return args[:12]
}

// byPointer is arm64's: a struct above 16 bytes is passed as a pointer to a copy,
// which grid and threads are.
func byPointer(args *[14]uintptr, receiver id, name sel, grid, threads *size) []uintptr {
	*args = [14]uintptr{receiver, name, uintptr(unsafe.Pointer(grid)), uintptr(unsafe.Pointer(threads))}
	return args[:4]
}
