// Command foundry compiles Qwen2.5 checkpoints into Metal plans, shows fused
// graphs, benchmarks fusion variants and runs plans.
package main

import (
	"context"
	"os"
	"os/signal"

	"foundry/cmd/foundry/cli"
	"foundry/runtime/confine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	s := cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv}
	if confine.Available() {
		s.Confine = confine.Process
	}
	code := cli.Main(ctx, os.Args[1:], s)
	stop()
	os.Exit(code)
}
