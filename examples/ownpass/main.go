// Ownpass compiles a model with a fusion and an edit that Foundry does not have, says
// what came of them at every site, draws the result, and runs it.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"foundry"
	"foundry/ir"
	"foundry/lower/plan"
	"foundry/passes"
	"foundry/viz"
)

// gateSilu computes silu where the gate's product leaves its result: fuse-gate-silu.
var gateSilu = passes.Pattern{
	Name: "gate-silu", Label: "gate_silu",
	Doc: "silu is the epilogue of the gate's product",
	Text: `
		@g = matmul_nt h w
		@s = silu g`,
}

// headsAsView makes a reshape of kv_rearrange where there is one row: then heads lie
// in memory as they lie in the row, and nothing has to move.
var headsAsView = passes.Edit{
	Name: "heads-as-view", Absent: "nothing is arranged by heads",
	Doc: "one row is in the order of its heads already",
	Consider: func(at passes.Candidate) *passes.Rewrite {
		n := at.Node
		if n.Op != ir.OpKVRearrange {
			return nil
		}
		if rows, constant := n.Args[0].Type.Shape.At(0).Const(); !constant || rows != 1 {
			return passes.Refuse("a run has %s rows", n.Args[0].Type.Shape.At(0))
		}
		return &passes.Rewrite{Waves: 1, Reason: "a view of the row", Do: func() error {
			view, err := at.Graph.InsertBefore(n, ir.OpReshape, n.Label, ir.Attr{Shape: n.Result().Type.Shape}, n.Args[0])
			if err != nil {
				return err
			}
			if err := at.Graph.ReplaceUses(n.Result(), view); err != nil {
				return err
			}
			return at.Graph.Erase(n)
		}}
	},
}

func main() {
	if err := run(os.Stdout, foundry.Ref); err != nil {
		log.Fatal(err)
	}
}

func run(out io.Writer, device string) error {
	table, err := passes.BuiltIn().With([]passes.Pattern{gateSilu}, []passes.Edit{headsAsView})
	if err != nil {
		return err
	}
	m, err := foundry.Open("kjv-2m", foundry.Hub{})
	if err != nil {
		return err
	}
	defer m.Close()
	options := foundry.CompileOptions{Table: table, Passes: "canonicalize,cse,dce,drop-repeat-kv,heads-as-view,fuse-gate-silu,legalize"}
	compiled, err := foundry.Compile(m, foundry.Defaults(device, options))
	if err != nil {
		return err
	}
	if err := plan.Explain(out, compiled.Decisions); err != nil {
		return err
	}
	picture, err := viz.Draw(m, options, "fused", "decode", viz.Options{Layer: viz.AllLayers, Collapse: true})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the picture's clusters of gate-silu: %d\n", strings.Count(picture, "gate-silu"))
	engine, err := foundry.Start(context.Background(), m, foundry.StartOptions{Device: device, Compile: options})
	if err != nil {
		return err
	}
	defer engine.Close()
	session, err := engine.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	for token, err := range session.Generate(context.Background(), "And the LORD spake unto Moses, saying,", foundry.GenerateOptions{Max: 13}) {
		if err != nil {
			return err
		}
		fmt.Fprint(out, token.Text)
	}
	fmt.Fprintln(out)
	return nil
}
