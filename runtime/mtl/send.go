package mtl

import (
	"runtime"

	"github.com/ebitengine/purego"
)

// sender sends what a registered function would allocate for: a call's words are
// written to one array, which is used again. It is part of something on the heap,
// since words may be addresses of its fields, and a goroutine's stack moves.
//
// A test holds each send to the words that the message takes by Apple's headers.
type sender struct {
	b       *bridge
	args    [14]uintptr
	grid    size
	threads size
	pool    uintptr
}

// call calls a function.
func (s *sender) call(fn uintptr, args ...uintptr) uintptr {
	n := copy(s.args[:], args)
	r, _, _ := purego.SyscallN(fn, s.args[:n]...)
	return r
}

// message sends a message whose arguments go in registers.
func (s *sender) message(receiver id, name sel, args ...uintptr) uintptr {
	s.args[0], s.args[1] = receiver, name
	n := 2 + copy(s.args[2:], args)
	r, _, _ := purego.SyscallN(s.b.msgSend, s.args[:n]...)
	return r
}

// dispatch sends a message that takes two MTLSize by value: threadgroups, and the
// threads of one.
func (s *sender) dispatch(receiver id, name sel, grid [3]int64, threads size) {
	s.grid = size{uint64(grid[0]), uint64(grid[1]), uint64(grid[2])}
	s.threads = threads
	purego.SyscallN(s.b.msgSend, dispatchArgs(&s.args, receiver, name, &s.grid, &s.threads)...)
}

// enter opens an autorelease pool and keeps the goroutine on its OS thread until
// leave, which that goroutine must call.
func (s *sender) enter() {
	runtime.LockOSThread()
	s.pool = s.call(s.b.poolPush)
}

func (s *sender) leave() {
	s.call(s.b.poolPop, s.pool)
	runtime.UnlockOSThread()
}
