package engine_test

import (
	"context"
	"fmt"
	"log"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/runtime/engine"
)

// An engine serves any number of sessions, each a text of its own.
func Example() {
	ctx := context.Background()
	m, err := model.Open("kjv-2m", checkpoint.Hub{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	e, err := engine.Start(ctx, m, engine.Options{Device: engine.Ref, Compile: compile.Options{Context: 64}})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	for _, prompt := range []string{"And the LORD spake unto Moses, saying,", "In the beginning"} {
		s, err := e.NewSession()
		if err != nil {
			log.Fatal(err)
		}
		for token, err := range s.Generate(ctx, prompt, engine.GenerateOptions{Max: 7}) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Print(token.Text)
		}
		fmt.Println()
		if err := s.Close(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// Speak unto the children of Israel
	//  of the reign of the reign of
}
