package ir_test

import (
	"fmt"
	"log"

	"foundry/ir"
)

// A graph is text and back: two nodes become one region, and the region nodes again.
func Example() {
	g, err := ir.Parse("swiglu.fir", `graph @swiglu (T=1..8, P=0..7, S<=8) {
  %gate = input "gate" : f32[T, 64]
  %up = input "up" : f32[T, 64]
  %s = silu %gate @"silu"
  %m = mul %s, %up @"mul"
  return m=%m
}
`)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := g.Outline(g.Nodes(), "swiglu", "swiglu"); err != nil {
		log.Fatal(err)
	}
	if err := ir.Verify(g); err != nil {
		log.Fatal(err)
	}
	fmt.Print(g)
	g.InlineAll()
	fmt.Println(len(g.Nodes()), "nodes again")
	// Output:
	// graph @swiglu (T=1..8, P=0..7, S<=8) {
	//   %0 = input "gate" : f32[T, 64]
	//   %1 = input "up" : f32[T, 64]
	//   %2 = fused %0, %1 {pattern="swiglu"} @"swiglu" {
	//     %0 = arg : f32[T, 64]
	//     %1 = arg : f32[T, 64]
	//     %2 = silu %0 : f32[T, 64] @"silu"
	//     %3 = mul %2, %1 : f32[T, 64] @"mul"
	//     return %3
	//   }
	//   return m=%2
	// }
	// 2 nodes again
}
