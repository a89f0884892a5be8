package foundry_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"foundry"
	"foundry/viz"
)

// A whole program: open a model, compile it with passes of one's own, draw the
// fused graph, and generate text on the reference, which needs nothing installed.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // would end a generation under way
	m, err := foundry.Open("kjv-2m", foundry.Hub{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	options := foundry.Defaults(foundry.Ref, foundry.CompileOptions{
		Passes: "canonicalize,cse,drop-repeat-kv,fuse-rmsnorm-qkv,fuse-rope-kv,fuse-attention,fuse-gate-up-swiglu,legalize",
	})
	picture, err := viz.Draw(m, options, "fused", "decode", viz.Options{Layer: viz.AllLayers, Collapse: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Count(picture, "subgraph") > 3, strings.Contains(picture, "rmsnorm-qkv"))

	graphs, err := foundry.Fuse(m, options)
	if err != nil {
		log.Fatal(err)
	}
	engine, err := foundry.Interpret(ctx, graphs)
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	session, err := engine.NewSession()
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	for token, err := range session.Generate(ctx, "And the LORD spake unto Moses, saying,", foundry.GenerateOptions{Max: 13}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(token.Text)
	}
	// Output:
	// true true
	//  Speak unto the children of Israel, and say unto them,
}
