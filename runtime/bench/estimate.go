package bench

import (
	"fmt"
	"runtime"
	"time"

	"foundry/ir/names"
	"foundry/runtime/engine"
)

// kernelSeconds is about what a kernel takes a processor to compile, by device: g++ 12 on
// an x86 machine, NVRTC 12 beside an H200.
var kernelSeconds = map[string]float64{engine.CPU: 0.4, engine.CUDA: 1.4}

// leastEstimate is the work below which nobody asks how long it takes.
const leastEstimate = 10 * time.Second

// estimate says what is ahead before plans are loaded: plans, kernels, and how long these
// take where none of them lies in the cache. It is empty for little work.
func estimate(device string, list []compiledVariant) string {
	kind, _, err := engine.ParseDevice(device)
	if err != nil || kernelSeconds[kind] == 0 {
		return ""
	}
	texts := map[string]bool{} // kernels that plans share are compiled once
	for _, v := range list {
		for i := range v.plan.Kernels {
			texts[v.plan.Kernels[i].SHA256] = true
		}
	}
	took := time.Duration(float64(len(texts)) * kernelSeconds[kind] / float64(runtime.GOMAXPROCS(0)) * float64(time.Second))
	if took < leastEstimate {
		return ""
	}
	return fmt.Sprintf("%d plans with %d kernels: to compile those takes about %s where none is in the cache, before the first run",
		len(list), len(texts), names.Duration(took.Round(time.Second)))
}
