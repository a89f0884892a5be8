// Package foundry compiles Qwen2.5 and Qwen3 checkpoints into Metal plans, and runs them.
// It is the whole flow in one place, and the first file to read:
//
//	Open     a model's name   -> Model: configuration, weights, tokenizer    frontends/model
//	Fuse     a Model          -> Graphs: prefill and decode after passes     lower/compile
//	Compile  a Model          -> Compiled: the Graphs and their Plan         lower/compile
//	Load     a Plan or Graphs -> Engine: ready to run on a device or on ref  runtime/engine
//	Session  of an Engine     -> tokens: Generate, Prefill, Decode           runtime/engine
//
// Nothing before Load reads a weight. Everything is safe for concurrent use but a
// Session, of which an Engine may have any number. The names here are those of the
// packages on the right; what is not here is one import away:
//
//	runtime/bench, runtime/search   how fast variants are, and which is the fastest
//	runtime/eval, verify            whether models and kernels are right
//	viz                             what graphs and plans look like
//
// Read next: frontends/decoder for the model as operations, passes for what
// becomes of them, lower/metal for how that turns into kernels, lower/plan for
// the result, runtime for its execution.
package foundry

import (
	"context"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/runtime"
	"foundry/runtime/cpu"
	"foundry/runtime/engine"
	"foundry/runtime/search"
)

// Version is what plans record as their compiler.
const Version = compile.Version

// The devices that a model runs on.
const (
	Ref   = engine.Ref   // the interpreter, on the fused graphs; needs nothing installed
	CPU   = engine.CPU   // the plan's Metal text, compiled by the system's C++ compiler
	CUDA  = engine.CUDA  // the same text on an NVIDIA GPU; cuda:1 is the second
	Metal = engine.Metal // an Apple GPU; metal:1 is the second
	Auto  = engine.Auto  // the fastest that works here
)

type (
	// Hub says where models named hf:OWNER/NAME are found; the zero value serves all
	// other names.
	Hub = checkpoint.Hub
	// Model is an opened model: a checkpoint with its configuration, or one graph of a
	// .fir file.
	Model = model.Model

	// CompileOptions say how a model is compiled. The zero value leaves every choice to
	// the compiler.
	CompileOptions = compile.Options
	// Graphs are a model's graphs after passes.
	Graphs = compile.Graphs
	// Compiled is a model's plan, and the graphs that it was lowered from.
	Compiled = compile.Compiled

	// StartOptions say how Start gets a model running.
	StartOptions = engine.Options
	// Engine is a model ready to run. Any number of sessions share it.
	Engine = engine.Engine
	// Session is one text under way on an Engine.
	Session = engine.Session
	// GenerateOptions say how a text goes on.
	GenerateOptions = engine.GenerateOptions
	// Token is one generated token and the text that it completes.
	Token = engine.Token
	// Progress is told how much of a long piece of work is done; nil tells nobody.
	Progress = runtime.Progress
)

// Open opens a model by name: "" or "kjv-2m" (embedded in the program), a Hugging
// Face folder, a checkpoint file, a .fir graph, "synth:qwen2.5-SIZE" or
// "synth:qwen3-SIZE" (a published shape with generated weights) or "hf:OWNER/NAME". No weight is read.
func Open(name string, h Hub) (*Model, error) { return model.Open(name, h) }

// Defaults fills in what o leaves open and a device decides: the target and the
// dtypes of what is not quantised.
func Defaults(device string, o CompileOptions) CompileOptions { return engine.Defaults(device, o) }

// Fuse builds the model's graphs and runs the passes over them. Where a pass fails,
// the graphs as far as they came are returned beside the error.
func Fuse(m *Model, o CompileOptions) (*Graphs, error) { return compile.Fuse(m, o) }

// Compile turns a model into a plan. Synthetic models of any size compile in
// milliseconds, for no weight is read.
func Compile(m *Model, o CompileOptions) (*Compiled, error) { return compile.Model(m, o) }

// Interpret makes graphs ready to run on the reference, and reads their weights.
func Interpret(ctx context.Context, g *Graphs) (*Engine, error) { return engine.Interpret(ctx, g) }

// OpenDevice opens a device that executes kernels. The error says what it lacks.
func OpenDevice(ctx context.Context, name string, c cpu.Options) (runtime.Device, error) {
	return engine.OpenDevice(ctx, name, c)
}

// Load makes a plan ready to run on a device, which the engine owns from now on, and
// reads the model's weights. g, the plan's graphs, may be nil.
func Load(ctx context.Context, dev runtime.Device, m *Model, p *plan.Plan, g *Graphs, progress Progress) (*Engine, error) {
	return engine.Load(ctx, dev, m, p, g, progress)
}

// Start is all of it in one call: it compiles for the device, searching for the
// fastest passes where they are "search", or reads a plan, and loads the weights.
func Start(ctx context.Context, m *Model, o StartOptions) (*Engine, error) {
	return search.Start(ctx, m, o)
}
