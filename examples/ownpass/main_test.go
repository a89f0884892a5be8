package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"foundry"
	"foundry/ir/target"
	"foundry/passes"
	"foundry/runtime"
	"foundry/runtime/child"
	"foundry/runtime/cpu"
	"foundry/verify"
)

// On the reference and in the plan's kernels the program says what was decided, draws
// the fusion, and goes on with the text as the model does without either pass.
func TestRun(t *testing.T) {
	for _, device := range []string{foundry.Ref, foundry.CPU} {
		t.Run(device, func(t *testing.T) {
			if device == foundry.CPU {
				openCPU(t)
			}
			var out bytes.Buffer
			if err := run(&out, device); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{
				"matched        5 x layers.0-4.q_heads    a view of the row\n",
				"refused        5 x layers.0-4.q_heads    a run has T rows\n",
				"matched        5 x layers.0-4.gate_proj  matmul_nt, silu: 2 nodes become one, 1 dispatch and 1 wave fewer, ",
				"the picture's clusters of gate-silu: 1\n",
				"\n Speak unto the children of Israel, and say unto them,\n",
			} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("want %q in\n%s", want, &out)
				}
			}
		})
	}
}

// Behind both passes a graph computes what it did, within what its rounding allows:
// the equivalence check of foundry verify, on a pipeline of one's own.
func TestEquivalence(t *testing.T) {
	table, err := passes.BuiltIn().With([]passes.Pattern{gateSilu}, []passes.Edit{headsAsView})
	if err != nil {
		t.Fatal(err)
	}
	pipeline, err := table.Parse("canonicalize,cse,dce,drop-repeat-kv,heads-as-view,fuse-gate-silu,legalize")
	if err != nil {
		t.Fatal(err)
	}
	m, err := foundry.Open("kjv-2m", foundry.Hub{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	plain, err := foundry.Fuse(m, foundry.CompileOptions{Table: table, Passes: "canonicalize", Context: 64})
	if err != nil {
		t.Fatal(err)
	}
	decode, err := plain.Entry("decode")
	if err != nil {
		t.Fatal(err)
	}
	machine, err := target.Find(target.Default)
	if err != nil {
		t.Fatal(err)
	}
	o := verify.Options{Target: machine, Quick: true, Device: openCPU(t)}
	report, err := verify.RunGraph(context.Background(), o, decode, []verify.Pipeline{{Name: "own", Passes: pipeline}})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range report.Rows {
		if !row.Pass {
			t.Errorf("%s: %s", row.Kernel, row.Failure)
		}
	}
	if len(report.Rows) != 1 || !strings.Contains(report.Rows[0].DispatchedIn(), "own: ") {
		t.Errorf("the report has %d rows", len(report.Rows))
	}
}

func openCPU(t *testing.T) runtime.Device {
	t.Helper()
	dev, err := foundry.OpenDevice(t.Context(), foundry.CPU, cpu.Options{})
	if errors.Is(err, child.ErrAbsent) {
		t.Skipf("%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dev.Close() })
	return dev
}
