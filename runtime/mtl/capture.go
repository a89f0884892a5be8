package mtl

import (
	"fmt"
	"os"
)

// Capture runs f and writes what the GPU was given to a .gputrace document at
// path, for Xcode. macOS allows it when MTL_CAPTURE_ENABLED=1 is set.
func (d *Device) Capture(path string, f func() error) error {
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("metal: %s exists already; Metal does not replace a trace", path)
	}
	b := d.b
	return b.pool(func() error {
		manager := b.captureManager.Call(b.MTLCaptureManager, b.captureManager.Sel)
		desc := b.allocInit(b.MTLCaptureDescriptor)
		defer b.release(desc)
		b.setCaptureObject.Call(desc, b.setCaptureObject.Sel, d.dev)
		b.setCaptureTo.Call(desc, b.setCaptureTo.Sel, MTLCaptureDestinationGPUTraceDocument)
		b.setCaptureURL.Call(desc, b.setCaptureURL.Sel, b.url(path))
		var failure id
		if !b.startCapture.Call(manager, b.startCapture.Sel, desc, &failure) {
			return fmt.Errorf("%w; run with MTL_CAPTURE_ENABLED=1", b.failure("the capture does not start", failure))
		}
		defer b.stopCapture.Call(manager, b.stopCapture.Sel)
		return f()
	})
}
