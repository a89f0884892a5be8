package target

import "strings"

// apple is one row of the table of Apple GPUs.
type apple struct {
	name    string
	cores   int
	gbs     float64 // memory bandwidth, published
	cacheMB int64   // system-level cache, from public teardowns
	ghz     float64 // GPU clock, from public measurements
	units   bool    // matrix units in each core
}

// Bandwidths and core counts are Apple's, the bandwidths of an A19 those of its memory, 64 bits of
// LPDDR5X-8533 and, in the Pro, of 9600 (https://en.wikipedia.org/wiki/Apple_A19, which has its
// caches, too). A core has 128 f32 lanes. The clock of an M5 was read by powermetrics under
// load, 1,578 MHz (https://www.reddit.com/r/hardware, "Apple M5 GPU Roofline Analysis", whose memory
// gave 122 of 153.6 GB/s); M5 Pro and Max are taken to have it, and M4's caches. That of an A19
// is what its measured matrix rate comes to (matrixFlops); lists of specifications say 1,620 MHz.
var apples = [...]apple{
	{"apple-m1", 8, 68, 8, 1.28, false},
	{"apple-m1-pro", 16, 200, 24, 1.30, false},
	{"apple-m1-max", 32, 400, 48, 1.30, false},
	{"apple-m1-ultra", 64, 800, 96, 1.30, false},
	{"apple-m2", 10, 100, 8, 1.40, false},
	{"apple-m2-pro", 19, 200, 24, 1.40, false},
	{"apple-m2-max", 38, 400, 48, 1.40, false},
	{"apple-m2-ultra", 76, 800, 96, 1.40, false},
	{"apple-m3", 10, 100, 8, 1.38, false},
	{"apple-m3-pro", 18, 150, 12, 1.38, false},
	{"apple-m3-max-30", 30, 300, 48, 1.38, false},
	{"apple-m3-max", 40, 400, 48, 1.38, false},
	{"apple-m3-ultra", 80, 819, 96, 1.38, false},
	{"apple-m4", 10, 120, 8, 1.47, false},
	{"apple-m4-pro", 20, 273, 24, 1.58, false},
	{"apple-m4-max-32", 32, 410, 48, 1.58, false},
	{"apple-m4-max", 40, 546, 48, 1.58, false},
	{"apple-m5", 10, 153, 8, 1.58, true},
	{"apple-m5-pro", 20, 307, 24, 1.58, true},
	{"apple-m5-max-32", 32, 460, 48, 1.58, true},
	{"apple-m5-max", 40, 614, 48, 1.58, true},
	{"apple-a19", 5, 68, 12, 1.46, true},
	{"apple-a19-pro", 6, 77, 32, 1.46, true},
}

// metalLimits are Metal's for every Apple GPU of the table.
func metalLimits() Limits {
	return Limits{
		Slots: 31, Threads: 1024, ThreadgroupBytes: 32 << 10, MatrixBytes: 32 << 10, ThreadgroupAlign: 16, SIMDWidth: 32, ConstantAlign: 256,
		Weights: []string{"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k", "q2_k", "q3_k", "iq4_nl", "iq4_xs",
			"affine2", "affine3", "affine4", "affine5", "affine6", "affine8"},
		Cache: []string{"f32", "f16"},
	}
}

// All lists every target, Apple's first, in order of generation and size.
func All() []Target {
	out := make([]Target, 0, len(apples)+len(nvidias)+1)
	for _, a := range apples {
		out = append(out, a.target())
	}
	for _, n := range nvidias {
		out = append(out, n.target())
	}
	return append(out, cpu())
}

// matrixFlops is a core's operations a cycle in products of f16 added up in f32:
// T. Zakharko, Investigating the GPU Neural Accelerators on Apple A19/M5 (2025), which
// measured 7,500 GFLOPS on the five cores of an A19.
const matrixFlops = 1024

func (a apple) target() Target {
	flops := float64(a.cores) * 128 * 2 * a.ghz / 1e3
	matrices, floats := 0.0, 0
	if a.units {
		matrices, floats = float64(a.cores)*matrixFlops*a.ghz/1e3, 64
	}
	return Target{
		Name: a.name, Family: "apple",
		Note:  "uncalibrated: published bandwidth and cores; a wave from a synthetic MLX chain, 2.4 us; a command buffer 20 us",
		Cores: a.cores, BandwidthGBs: a.gbs,
		// 128 bytes a cycle and core.
		CacheGBs: float64(a.cores) * 128 * a.ghz, CacheBytes: a.cacheMB << 20,
		TFlops: flops, TileTFlops: flops, MatrixTFlops: matrices, MatrixFloats: floats, MatrixRows: 32, MatrixGroup: 4, MatrixHead: 64, // as Apple's and llama.cpp's kernels have it
		// 60 KB of threadgroup memory and 208 KB of registers a core: public measurements of
		// M1. Cores since M3 take registers as they are written, so theirs may have room for more.
		CoreThreads: 1024, LoadAhead: 32, LineBytes: 128, TileFloats: 32, CopyStages: 2, CoreBytes: 60 << 10, CoreFloats: 52 << 10,
		DispatchUs: 0.5, WaveUs: 1.9, GroupUs: 0.2, LatencyUs: 0.5, CommandBufferUs: 20, EncodeUs: 0.5, SubmitUs: 120,
		Limits: metalLimits(),
	}
}

// Apple names the target for a GPU by the name that Metal reports, such as "Apple M3
// Pro"; "" where no numbers are known. The name does not tell sizes of one chip apart:
// it is the larger's.
func Apple(gpu string) string {
	name := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(gpu)), " ", "-")
	for _, a := range apples {
		if a.name == name {
			return name
		}
	}
	return ""
}

// nvidia is one row of the table of NVIDIA GPUs: those of compute capability 9.0
// differ in their memory.
type nvidia struct {
	name, note string
	gbs        float64 // memory bandwidth
	matrixKB   int     // threadgroup memory of a kernel that uses matrix units
	group      int     // simdgroups of its threadgroups
}

// A core has 227 KB that a CUDA kernel can ask for. Metal gives every threadgroup 32 KB: the
// targets named for that say what its plans can reach with matrix units as fast as these.
// Blocks that small are faster by one warpgroup (307.6 us of gate and up at 7b) than by two
// (363.9).
var nvidias = [...]nvidia{
	{"h100", "NVIDIA H100 80 GB: read bandwidth measured at 3,093 GB/s, 1.3 us a kernel in a CUDA graph", 3093, 227, 8},
	{"h200", "NVIDIA H200 141 GB: read bandwidth measured at 4,705 GB/s, the rest as measured on an H100", 4705, 227, 8},
	{"h100-32k", "h100 with no more threadgroup memory for matrix units than Metal has", 3093, 32, 4},
	{"h200-32k", "h200 with no more threadgroup memory for matrix units than Metal has", 4705, 32, 4},
}

// NVIDIA names the target for a GPU by the name that its driver reports and its
// compute capability; "" where no numbers are known.
func NVIDIA(gpu string, major int) string {
	for _, n := range nvidias {
		if strings.Contains(strings.ToLower(gpu), n.name) {
			return n.name
		}
	}
	if major == 9 {
		return "h100"
	}
	return ""
}

func (n nvidia) target() Target {
	limits := metalLimits()
	limits.MatrixBytes = n.matrixKB << 10
	return Target{
		Name: n.name, Family: "nvidia", Note: n.note,
		Cores: 132, BandwidthGBs: n.gbs, CacheGBs: 10000, CacheBytes: 50 << 20,
		// Matrix units are wgmma, of warpgroups of four simdgroups with 64 rows each: two of them
		// reach 609 TFLOP/s in blocks of 128 x 128 x 64, of which a core takes two.
		TFlops: 60, TileTFlops: 400, MatrixTFlops: 620, MatrixFloats: 128, MatrixRows: 64, MatrixGroup: n.group,
		CoreThreads: 2048, LoadAhead: 96, LineBytes: 128, TileFloats: 128, CopyStages: 8, CoreBytes: 227 << 10, CoreFloats: 64 << 10,
		// A CUDA graph runs a chain: each kernel pays for its launch, and the
		// barrier costs little more.
		DispatchUs: 1.0, WaveUs: 0.3, GroupUs: 0.15, PieceNs: 1.05, StepUs: 0.2, TileStepUs: 0.15, ExpandStepUs: 0.565, ExpandThreads: 529, LatencyUs: 0.6, CommandBufferUs: 5, EncodeUs: 0, SubmitUs: 8,
		Slots: map[string]float64{
			"f16": 2.45, "q8_0": 4.42, "q6_k": 6.72, "q5_k": 5.80, "q5_0": 7.08, "q4_k": 4.55, "q4_0": 4.41, "affine4": 4.70, "affine8": 4.58,
		},
		SlotNs: 8, // o at 0.5b: 32 weights a lane in q4_0 1.1 us, 8 weights 0.3
		Planes: []string{"q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k"},
		// Gate and up at 7b on an H200, one round of chunks ahead and as many as registers hold, us: q8_0 38.0 and 36.6,
		// q4_0 26.7 and 23.0, q4_k 27.5 and 24.3, q5_k 31.1 and 27.9, q6_k 32.2 and 30.6; affine4 26.3 and 27.0.
		ChunksAhead: []string{"q8_0", "q4_0", "q4_k", "q5_k", "q6_k"},
		Limits:      limits,
	}
}

func cpu() Target {
	return Target{
		Name: "cpu", Family: "cpu",
		Note:  "emulation on a small x86 machine; exchanges, flops and launches fitted to kernels of kjv-2m there (docs/lab-book.md)",
		Cores: 2, BandwidthGBs: 12, CacheGBs: 60, CacheBytes: 32 << 20,
		// A simdgroup's lanes run in one thread of the machine, so one keeps a core busy.
		CoreThreads: 64, LoadAhead: 32, LineBytes: 64, TileFloats: 32, CopyStages: 2, CoreBytes: 64 << 10, CoreFloats: 64 << 10,
		TFlops: 0.003, TileTFlops: 0.003, ExchangeNs: 15,
		DispatchUs: 0.4, WaveUs: 0.2, GroupUs: 0.4, LatencyUs: 0.1, CommandBufferUs: 2, EncodeUs: 0.1, SubmitUs: 5,
		Limits: metalLimits(),
	}
}
