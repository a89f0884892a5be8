// Package foundry compiles Qwen2.5 checkpoints into Metal plans, and runs them.
// It is the whole flow in one place, and the first file to read:
//
//	Open     a model's name   -> Model: configuration, weights, tokenizer    model.go
//	Fuse     a Model          -> Graphs: prefill and decode after passes     fuse.go
//	Compile  a Model          -> Compiled: the Graphs and their Plan         compile.go
//	Load     a Plan or Graphs -> Engine: ready to run on a device or on ref  engine.go
//	Session  of an Engine     -> tokens: Generate, Prefill, Decode           generate.go
//
// Nothing before Load reads a weight. Everything is safe for concurrent use but a
// Session, of which an Engine may have any number.
//
// Read next: frontends/qwen25 for the model as operations, passes for what
// becomes of them, lower/metal for how that turns into kernels, lower/plan for
// the result, runtime for its execution.
package foundry

import (
	"foundry/runtime"
)

// Version is what plans record as their compiler.
const Version = "foundry 0.1"

// Progress is told how much of a long piece of work is done; nil tells nobody.
type Progress = runtime.Progress

// Default sizes, where an option leaves them to the compiler.
const (
	DefaultTarget  = "apple-m3-pro"
	DefaultContext = 4096
	DefaultChunk   = 512
)
