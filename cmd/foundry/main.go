// Command foundry compiles Qwen2.5 checkpoints into Metal plans, shows fused
// graphs, benchmarks fusion variants and runs plans.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"foundry/cmd/foundry/cli"
	"foundry/runtime/confine"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGXCPU)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup does
		signal.Notify(signals, syscall.SIGHUP)
	}
	// A pipe that nobody reads is an error of the write, not the end on the spot.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	s := cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Signals: signals}
	if confine.Available() {
		s.Confine = confine.Process
	}
	os.Exit(cli.Main(context.Background(), os.Args[1:], s))
}
