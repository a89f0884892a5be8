package bench

import (
	"context"
	"errors"
	"fmt"

	"foundry/runtime"
	"foundry/runtime/engine"
)

// What only Apple GPUs measure: decode replayed from an indirect command buffer,
// and traces for Xcode.

// checkMetal is an error where what is asked for needs an Apple GPU, or more than
// the options give.
func (o *Options) checkMetal() error {
	if !o.Indirect && o.Capture == "" {
		return nil
	}
	asked, reason := "replay from indirect command buffers", ""
	if o.Capture != "" {
		asked = "a capture"
	}
	kind, _, err := engine.ParseDevice(o.Device)
	switch {
	case err != nil:
		return err
	case kind != engine.Metal:
		reason = fmt.Sprintf("needs an Apple GPU: take --device metal, not %s", kind)
	case o.Reps == 0:
		reason = "needs runs: take --reps 1 or more"
	case o.many():
		reason = "is of variants by name, not of a whole set"
	case o.Capture != "" && (len(o.Variants) > 1 || o.Indirect):
		reason = "is of one variant: name it with --variants"
	case o.Indirect && o.Phase != "decode":
		reason = "is of decode: take --phase decode"
	default:
		return nil
	}
	return fmt.Errorf("bench: %s %s", asked, reason)
}

// withReplays lists each variant a second time, to be replayed from an indirect command
// buffer.
func withReplays(list []compiledVariant) []compiledVariant {
	var out []compiledVariant
	for _, s := range list {
		again := s
		again.name, again.indirect = s.name+" indirect", true
		out = append(out, s, again)
	}
	return out
}

// openIndirect opens the same GPU once more, with programs that replay from
// indirect command buffers.
func (o *Options) openIndirect(first *sharedDevice) (*sharedDevice, error) {
	dev, err := engine.OpenIndirect(o.Device, o.CPU)
	if err != nil {
		return nil, err
	}
	return first.onAnother(dev), nil
}

// capture runs what is measured once more and writes a trace of it.
func (c *loadedVariant) capture(ctx context.Context, path string) error {
	device, ok := c.dev.(runtime.Capturer)
	if !ok {
		return errors.New("the device writes no traces")
	}
	return device.Capture(path, func() error {
		_, err := c.run(ctx)
		return err
	})
}
