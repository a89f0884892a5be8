package cpu

import "golang.org/x/sys/unix"

// totalMemory is the machine's, 0 when it cannot be told.
func totalMemory() int64 {
	bytes, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0
	}
	return int64(bytes)
}
