package compile_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"foundry/frontends/checkpoint"
	"foundry/frontends/model"
	"foundry/ir/sym"
	"foundry/lower/compile"
	"foundry/lower/plan"
)

// A plan is data: written to a folder, read back, verified and counted.
func Example() {
	m, err := model.Open("synth:qwen2.5-0.5b", checkpoint.Hub{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	compiled, err := compile.Model(m, compile.Options{Variant: "fewest"})
	if err != nil {
		log.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "plan-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	if err := compiled.Plan.Save(filepath.Join(folder, "plan")); err != nil {
		log.Fatal(err)
	}
	p, err := plan.Load(filepath.Join(folder, "plan"))
	if err != nil {
		log.Fatal(err)
	}
	decode, err := p.Entry("decode")
	if err != nil {
		log.Fatal(err)
	}
	one := p.Stats(decode, sym.Env{T: 1, P: 128})
	fmt.Println(one.Dispatches, "dispatches in", one.Waves, "waves read", one.WeightBytes>>20, "MiB of weights")
	// Output:
	// 123 dispatches in 123 waves read 942 MiB of weights
}
