package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"foundry/lower/plan"
)

// readKernel reads 64 KiB a threadgroup, 16 loads of 16 bytes a thread. It never
// writes, which the compiler cannot know: of an even number of odd bytes the
// exclusive or is even.
const readKernel = `    const uint first = group.x * 4096u + thread_index;
    uint4 loaded[16];
    for (uint i = 0u; i < 16u; i++) loaded[i] = from[first + 256u * i];
    uint odd = 0u;
    for (uint i = 0u; i < 16u; i++) odd ^= loaded[i].x ^ loaded[i].y ^ loaded[i].z ^ loaded[i].w;
    if (odd == 1u) to[0] = group.x;
`

// readGroup is what a threadgroup of readKernel reads.
const readGroup = 64 << 10

// ReadBandwidth measures how fast the device reads memory, in bytes a second: all
// of one allocation of the given size (rounded down to 64 KiB), several times over
// in one submission, the best of five submissions. The size has to be many times
// the last-level cache's.
func ReadBandwidth(ctx context.Context, dev Device, bytes int64) (_ float64, err error) {
	const rounds = 8
	groups := max(bytes/readGroup, 1)
	k := plan.Kernel{
		Name: "read_bandwidth", File: "kernels/read_bandwidth.metal", Threads: [3]int{256, 1, 1},
		Slots: []plan.Slot{
			{Name: "from", Type: "uint4", Space: "device", Access: plan.Read},
			{Name: "to", Type: "uint", Space: "device", Access: plan.Write},
		},
		Builtins: []plan.Builtin{plan.ThreadgroupPosition, plan.ThreadIndex},
	}
	text := plan.Text{About: "the rate of reading memory", Body: readKernel}
	k.Source = text.Join(&k)
	program, err := dev.Load(ctx, &plan.Plan{Schema: plan.Schema, MSL: "3.0", Kernels: []plan.Kernel{k}}, nil)
	if err != nil {
		return 0, fmt.Errorf("measure the bandwidth: %w", err)
	}
	defer func() { err = errors.Join(err, program.Close()) }()
	from, err := dev.Alloc(groups*readGroup, Filled)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, from.Free()) }()
	if err := scatter(from); err != nil {
		return 0, err
	}
	to, err := dev.Alloc(16, Shared)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, to.Free()) }()
	launch := &Launch{Label: "read", Grid: [3]int64{groups, 1, 1}, Bind: []Operand{
		{Memory: from, Bytes: from.Bytes(), Access: plan.Read}, {Memory: to, Bytes: 16, Access: plan.Write},
	}}
	best, err := fastest(ctx, program, 5, nil, func(enc Encoder) error {
		for range rounds {
			if err := errors.Join(enc.Dispatch(launch), enc.Barrier()); err != nil {
				return err
			}
		}
		return nil
	})
	return float64(groups*readGroup*rounds) / best.Seconds(), err
}

// scatter fills memory with odd bytes that differ within a cache line.
func scatter(m Memory) error {
	slab := make([]byte, min(m.Bytes(), 16<<20))
	for i := range slab {
		slab[i] = byte(i*7919>>3 | 1)
	}
	for at := int64(0); at < m.Bytes(); at += int64(len(slab)) {
		if err := m.Write(at, slab[:min(int64(len(slab)), m.Bytes()-at)]); err != nil {
			return err
		}
	}
	return nil
}

// fastest returns the least time of reps submissions of what encode encodes, behind
// one that warms up: by the device's clock where its recordings have one, else by the
// host's. before, which may be nil, runs before each.
func fastest(ctx context.Context, p Program, reps int, before func() error, encode func(Encoder) error) (time.Duration, error) {
	submit := byHost(func() error {
		enc, err := p.Begin()
		if err != nil {
			return err
		}
		err = encode(enc)
		if committed := enc.Commit(); committed != nil {
			return errors.Join(err, committed)
		}
		return errors.Join(err, enc.Wait())
	})
	if recorder, ok := p.(Recorder); ok {
		rec, err := recorder.Record(encode)
		if err != nil {
			return 0, err
		}
		defer rec.Close()
		submit = byHost(func() error { return errors.Join(rec.Run(), rec.Wait()) })
		if watch, ok := rec.(Stopwatch); ok {
			submit = watch.Timed
		}
	}
	var best time.Duration
	for rep := range reps + 1 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if before != nil {
			if err := before(); err != nil {
				return 0, err
			}
		}
		took, err := submit()
		if err != nil {
			return 0, err
		}
		if rep == 1 || rep > 1 && took < best {
			best = took
		}
	}
	return best, nil
}

// byHost times f by the host's clock.
func byHost(f func() error) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		start := time.Now()
		err := f()
		return time.Since(start), err
	}
}
