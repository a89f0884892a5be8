//go:build !linux

package main

import "os/exec"

// leash leaves a process to the end of its time.
func leash(*exec.Cmd) {}
