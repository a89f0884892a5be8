package mtl

func dispatchArgs(args *[14]uintptr, receiver id, name sel, grid, threads *size) []uintptr {
	return byPointer(args, receiver, name, grid, threads)
}
