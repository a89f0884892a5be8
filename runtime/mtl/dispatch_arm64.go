package mtl

import "unsafe"

// dispatchArgs fills args for a message that takes two MTLSize by value: on
// arm64 a struct above 16 bytes is passed as a pointer to a copy, which grid and
// group are.
func dispatchArgs(args *[14]uintptr, receiver id, s sel, grid, group *size) []uintptr {
	*args = [14]uintptr{receiver, s, uintptr(unsafe.Pointer(grid)), uintptr(unsafe.Pointer(group))}
	return args[:4]
}
