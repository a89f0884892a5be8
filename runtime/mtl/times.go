package mtl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"foundry/ir/names"
	fruntime "foundry/runtime"
)

// interval is when the GPU ran one dispatch, in nanoseconds of one clock.
type interval struct{ start, end float64 }

// Time implements runtime.Timer. Where the GPU samples its timestamp at the ends
// of a pass, each dispatch is a pass of its own; elsewhere it is a command buffer
// of its own, of which Metal keeps the times.
func (g *program) Time(encode func(fruntime.Encoder) error) ([]time.Duration, error) {
	t, err := g.record(encode)
	if err != nil {
		return nil, err
	}
	var launches []*fruntime.Launch
	for _, s := range t.steps {
		if s.launch != nil {
			launches = append(launches, s.launch)
		}
	}
	clock, err := g.d.clock()
	if err != nil {
		return nil, err
	}
	var out []time.Duration
	last := math.Inf(-1)
	for first := 0; first < len(launches); first += timedAtOnce {
		part := launches[first:min(first+timedAtOnce, len(launches))]
		var spans []interval
		err := g.d.b.pool(func() (err error) {
			if clock.set != 0 {
				spans, err = g.timePasses(clock, part)
			} else {
				spans, err = g.timeBuffers(part)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, s := range spans {
			// One pass may begin while the one before ends.
			out = append(out, time.Duration(max(0, s.end-max(s.start, last))))
			last = s.end
		}
	}
	return out, nil
}

// timedAtOnce dispatches go into one command buffer: a sample buffer is limited to
// 32 KiB, which is 4096 samples.
const timedAtOnce = 1024

// clock is how the GPU's timestamps are read.
type clock struct {
	set     id      // the counter set that holds the timestamp; 0: passes cannot be timed
	nsATick float64 // nanoseconds a tick of the timestamp, by the host's clock
}

// clockRun is for how long the two clocks are compared.
const clockRun = 20 * time.Millisecond

// clock looks for the timestamp and compares it with the host's clock, once.
func (d *Device) clock() (clock, error) {
	d.clockMu.Lock()
	defer d.clockMu.Unlock()
	if d.clockRead {
		return d.times, nil
	}
	b := d.b
	err := b.pool(func() error {
		if !b.supportsSampling.Call(d.dev, b.supportsSampling.Sel, MTLCounterSamplingPointAtStageBoundary) {
			return nil
		}
		sets := b.counterSets.Call(d.dev, b.counterSets.Sel)
		if sets == 0 {
			return nil
		}
		for i := range b.arrayCount.Call(sets, b.arrayCount.Sel) {
			set := b.arrayObject.Call(sets, b.arrayObject.Sel, i)
			if b.goString(b.counterSetName.Call(set, b.counterSetName.Sel)) != b.goString(b.timestamp) {
				continue
			}
			// The ticks are of no shorter time than the host's: no dispatch is timed
			// longer than it took.
			var host, first, last uint64
			b.sampleTimestamps.Call(d.dev, b.sampleTimestamps.Sel, &host, &first)
			began := time.Now()
			time.Sleep(clockRun)
			took := time.Since(began)
			b.sampleTimestamps.Call(d.dev, b.sampleTimestamps.Sel, &host, &last)
			if last <= first {
				return fmt.Errorf("metal: the GPU's timestamp stands still: %d, and %s later %d", first, names.Duration(clockRun), last)
			}
			d.times = clock{b.retain(set), float64(took.Nanoseconds()) / float64(last-first)}
			return nil
		}
		return nil
	})
	d.clockRead = err == nil
	return d.times, err
}

// timePasses runs each launch as a pass, the next behind a fence.
func (g *program) timePasses(c clock, launches []*fruntime.Launch) (spans []interval, err error) {
	b, dev, n := g.d.b, g.d.dev, uint64(len(launches))
	desc := b.allocInit(b.MTLCounterSampleBufferDescriptor)
	defer b.release(desc)
	b.setCounterSet.Call(desc, b.setCounterSet.Sel, c.set)
	b.setSampleStorage.Call(desc, b.setSampleStorage.Sel, MTLStorageModeShared)
	b.setSampleCount.Call(desc, b.setSampleCount.Sel, 2*n)
	var failure id
	samples := b.newSamples.Call(dev, b.newSamples.Sel, desc, &failure)
	if samples == 0 {
		return nil, b.failure("no buffer for the GPU's timestamps", failure)
	}
	defer b.release(samples)
	fence := b.newFence.Call(dev, b.newFence.Sel)
	if fence == 0 {
		return nil, fmt.Errorf("metal: no fence is left")
	}
	defer b.release(fence)
	ticks, err := g.d.Alloc(int64(16*n), fruntime.Shared)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ticks.Free()) }()

	buffer := b.commandBuffer.Call(g.queue, b.commandBuffer.Sel)
	if buffer == 0 {
		return nil, fmt.Errorf("metal: the queue gives no command buffer")
	}
	e := g.take()
	defer g.put(e)
	for i, l := range launches {
		pass := b.computePass.Call(b.MTLComputePassDescriptor, b.computePass.Sel)
		b.setPassType.Call(pass, b.setPassType.Sel, MTLDispatchTypeConcurrent)
		at := b.attachment.Call(b.attachments.Call(pass, b.attachments.Sel), b.attachment.Sel, 0)
		b.setSampleBuffer.Call(at, b.setSampleBuffer.Sel, samples)
		b.setFirstSample.Call(at, b.setFirstSample.Sel, uint64(2*i))
		b.setLastSample.Call(at, b.setLastSample.Sel, uint64(2*i+1))
		e.current = -1
		if e.encoder = b.computeEncoderOf.Call(buffer, b.computeEncoderOf.Sel, pass); e.encoder == 0 {
			return nil, fmt.Errorf("metal: the command buffer gives no compute encoder")
		}
		if i > 0 {
			b.waitForFence.Call(e.encoder, b.waitForFence.Sel, fence)
		}
		err := e.Dispatch(l)
		b.updateFence.Call(e.encoder, b.updateFence.Sel, fence)
		b.endEncoding.Call(e.encoder, b.endEncoding.Sel)
		if err != nil {
			return nil, err
		}
	}
	blit := b.blitEncoder.Call(buffer, b.blitEncoder.Sel)
	if blit == 0 {
		return nil, fmt.Errorf("metal: the command buffer gives no blit encoder")
	}
	b.resolveCounters.Call(blit, b.resolveCounters.Sel, samples, rng{0, 2 * n}, ticks.(*memory).buf, 0)
	b.endEncoding.Call(blit, b.endEncoding.Sel)
	b.commit.Call(buffer, b.commit.Sel)
	b.waitCompleted.Call(buffer, b.waitCompleted.Sel)
	if b.bufferStatus.Call(buffer, b.bufferStatus.Sel) != MTLCommandBufferStatusCompleted {
		return nil, b.failure("the GPU gave up on a command buffer", b.bufferError.Call(buffer, b.bufferError.Sel))
	}
	raw := ticks.(*memory).bytes
	for i := range launches {
		start, end := binary.LittleEndian.Uint64(raw[16*i:]), binary.LittleEndian.Uint64(raw[16*i+8:])
		if start == MTLCounterErrorValue || end == MTLCounterErrorValue || end < start {
			return nil, fmt.Errorf("metal: the GPU took no time of dispatch %d, %s", i, launches[i].Label)
		}
		spans = append(spans, interval{float64(start) * c.nsATick, float64(end) * c.nsATick})
	}
	return spans, nil
}

// timeBuffers runs each launch as a command buffer.
func (g *program) timeBuffers(launches []*fruntime.Launch) (spans []interval, err error) {
	b := g.d.b
	for _, l := range launches {
		begun, err := g.Begin()
		if err != nil {
			return nil, err
		}
		e := begun.(*encoder)
		err = e.Dispatch(l)
		if committed := e.Commit(); err != nil || committed != nil {
			return nil, errors.Join(err, committed, e.Wait())
		}
		e.message(e.buffer, b.waitCompleted.Sel)
		spans = append(spans, interval{1e9 * b.gpuStart.Call(e.buffer, b.gpuStart.Sel), 1e9 * b.gpuEnd.Call(e.buffer, b.gpuEnd.Sel)})
		if err := e.Wait(); err != nil {
			return nil, err
		}
	}
	return spans, nil
}
