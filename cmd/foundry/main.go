// Command foundry compiles Qwen2.5 checkpoints into Metal plans, shows fused
// graphs, benchmarks fusion variants and runs plans.
package main

import (
	"context"
	"os"
	"os/signal"

	"foundry/cmd/foundry/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := cli.Main(ctx, os.Args[1:], cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv})
	stop()
	os.Exit(code)
}
