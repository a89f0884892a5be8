package mtl

// dispatchArgs fills args for a message that takes two MTLSize by value: on
// amd64 a struct of 24 bytes lies on the stack, behind the six register words.
func dispatchArgs(args *[14]uintptr, receiver id, s sel, grid, group *size) []uintptr {
	*args = [14]uintptr{receiver, s, 0, 0, 0, 0,
		uintptr(grid.Width), uintptr(grid.Height), uintptr(grid.Depth),
		uintptr(group.Width), uintptr(group.Height), uintptr(group.Depth)}
	return args[:12]
}
