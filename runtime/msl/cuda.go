package msl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"foundry/lower/plan"
)

// cudaBuiltins are the built-ins as CUDA expressions; tid is the thread's index.
var cudaBuiltins = map[plan.Builtin]string{
	plan.ThreadgroupPosition: "uint3(blockIdx.x, blockIdx.y, blockIdx.z)",
	plan.ThreadgroupsPerGrid: "uint3(gridDim.x, gridDim.y, gridDim.z)",
	plan.ThreadPosition: "uint3(blockIdx.x * blockDim.x + threadIdx.x, blockIdx.y * blockDim.y + threadIdx.y, " +
		"blockIdx.z * blockDim.z + threadIdx.z)",
	plan.ThreadIndex:    "tid",
	plan.SimdgroupIndex: "tid / 32u",
	plan.LaneIndex:      "tid % 32u",
}

// CUDAOptions are the NVRTC options that the units of CUDA need, but for the
// architecture.
var CUDAOptions = []string{"--std=c++17", "--device-as-default-execution-space", "--fmad=false", "--disable-warnings"}

// Matrices reports whether k multiplies blocks by matrix units, mpp::tensor_ops. On NVIDIA
// GPUs these are wgmma, which is compiled for the architecture sm_90a.
func Matrices(k *plan.Kernel) bool { return k.Matrices > 0 }

// Registers says what a compiler may spend of them: as many as leave room for that many
// threadgroups in a multiprocessor.
type Registers int

const (
	// Weighed: the compiler weighs them against threads in flight.
	Weighed Registers = iota
	// Free: as many as serve one threadgroup best.
	Free
)

// Unordered reports whether k reads nothing that a dispatch of its run writes, so that it
// runs beside its predecessor where no barrier stands between them.
func Unordered(k *plan.Kernel) bool { return k.Main == plan.WeightExpansion }

// StartsLast reports whether a successor of k that does not wait may start where k has
// passed its ready point: then all that was before k is done. Of other kernels a
// successor starts while they wait themselves.
func StartsLast(k *plan.Kernel) bool {
	return k.Main == plan.ProductMatrices || k.Main == plan.AttentionTiles
}

// CUDA returns the CUDA unit of some kernels: for each an entry of the kernel's name
// that takes an address for each slot, with the threadgroup arguments one behind
// the other in dynamic shared memory. What the compiler makes of a kernel does not
// depend on the others in its unit; what it makes of the header it makes once.
//
// A kernel may be launched before its predecessor in the stream has ended
// (programmatic dependent launch): its own ready point waits, or the entry does
// where the text has none. The entry waits at the end in any case, so that a
// kernel is never done before its predecessor.
func CUDA(registers Registers, kernels ...*plan.Kernel) (string, error) {
	var b strings.Builder
	parts := cudaParts
	if slices.ContainsFunc(kernels, Matrices) {
		parts = slices.Concat(parts, cudaMatrixParts)
	}
	head := header(parts, kernels)
	b.WriteString(head)
	owned := macros(head)
	for i, k := range kernels {
		symbol := strconv.Itoa(i)
		if StartsLast(k) {
			b.WriteString("#undef FOUNDRY_READY\n#define FOUNDRY_READY() FOUNDRY_WAIT(); FOUNDRY_TRIGGER()\n")
		}
		if err := body(&b, symbol, k, owned); err != nil {
			return "", err
		}
		cudaEntry(&b, symbol, k, registers)
		if StartsLast(k) {
			b.WriteString("#undef FOUNDRY_READY\n#define FOUNDRY_READY() FOUNDRY_TRIGGER(); FOUNDRY_WAIT()\n")
		}
	}
	return b.String(), nil
}

func cudaEntry(b *strings.Builder, symbol string, k *plan.Kernel, registers Registers) {
	var params []string
	for n := range k.Slots {
		params = append(params, fmt.Sprintf("void* b%d", n))
	}
	threads := k.Threads[0] * k.Threads[1] * k.Threads[2]
	align, bounds := 16, strconv.Itoa(threads)
	switch {
	case Matrices(k):
		align = 1024 // of eight rows of 64 halves, where wgmma's operands begin
		if 2*SharedBytes(k) <= plan.MaxThreadgroupBytes {
			bounds += ", 2" // threadgroups of a multiprocessor, whose registers they share
		} else {
			bounds += ", 1"
		}
	case registers != Weighed:
		bounds += ", " + strconv.Itoa(int(registers))
	}
	fmt.Fprintf(b, `%snamespace metal {
extern "C" __global__ void __launch_bounds__(%s) %s(%s) {
    extern __shared__ __align__(%d) unsigned char shared[];
    const uint tid = %s;
    (void)tid, (void)shared;
`, arity(symbol, k), bounds, k.Name, strings.Join(params, ", "), align, cudaThread(k))
	if !strings.Contains(k.Source, "FOUNDRY_READY();") && !Unordered(k) {
		b.WriteString("    FOUNDRY_READY();\n")
	}
	offset := 0
	for n, t := range k.Threadgroup {
		fmt.Fprintf(b, "    void* t%d = shared + %d;\n", n, offset)
		offset += t.Bytes
	}
	end := "FOUNDRY_WAIT();"
	if Unordered(k) { // one threadgroup waits, that what follows stands behind the predecessor, the others make room
		end = "if (blockIdx.x == 0) { FOUNDRY_READY(); }"
	}
	fmt.Fprintf(b, "    %s::%s(%s);\n    %s\n}\n}\n", space(symbol), k.Name,
		strings.Join(arguments(symbol, k, "b%d", "t%d", cudaBuiltins), ",\n        "), end)
}

// SharedBytes is the dynamic shared memory that k's threadgroup arguments need.
func SharedBytes(k *plan.Kernel) int {
	n := 0
	for _, t := range k.Threadgroup {
		n += t.Bytes
	}
	return n
}

// cudaThread is the thread's index in its threadgroup.
func cudaThread(k *plan.Kernel) string {
	if k.Threads[1] == 1 && k.Threads[2] == 1 {
		return "threadIdx.x"
	}
	return "threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)"
}
