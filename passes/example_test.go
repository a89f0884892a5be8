package passes_test

import (
	"fmt"
	"log"
	"os"

	"foundry/ir"
	"foundry/lower/plan"
	"foundry/passes"
)

// A pipeline is text. It edits a graph in place, and says what it did at every site.
func Example() {
	g, err := ir.Parse("mlp.fir", `graph @mlp (T=1..1, P=0..7, S<=8) {
  %x = input "x" : f32[1, 64]
  %w = weight "gate" : f16[96, 64]
  %up = input "up" : f32[1, 96]
  %g = matmul_nt %x, %w @"layers.0.gate"
  %s = silu %g @"layers.0.silu"
  %m = mul %s, %up @"layers.0.mul"
  return m=%m
}
`)
	if err != nil {
		log.Fatal(err)
	}
	pipeline, err := passes.Parse("canonicalize,fuse-swiglu,fuse-residual")
	if err != nil {
		log.Fatal(err)
	}
	var decisions passes.Log
	if err := pipeline.Run(g, &passes.Context{Log: &decisions}); err != nil {
		log.Fatal(err)
	}
	if err := plan.Explain(os.Stdout, decisions.Decisions); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(g.Nodes()), "dispatches")
	// Output:
	// fuse-swiglu
	//   matched        1 x layers.0.silu  silu, mul: 2 nodes become one, 1 dispatch and 1 wave fewer, 768 B less moved, predicted 2.6 us less than 5.2 us
	// fuse-residual
	//   no site        1 x graph mlp      nowhere in the graph do matmul_nt, add stand together
	// 2 dispatches
}
