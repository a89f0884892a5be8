package cuda

import (
	"errors"
	"time"
	"unsafe"
)

// Timed runs the graph between two events of the stream. Events around each dispatch
// of it would cost more than most dispatches take and keep kernels from overlapping,
// so what is timed alone is recorded many times over.
func (r *recording) Timed() (took time.Duration, err error) {
	drv := r.p.d.drv
	err = r.p.d.do(func() (err error) {
		var events [2]uintptr
		defer func() {
			for _, e := range events {
				if e != 0 {
					err = errors.Join(err, drv.call("cuEventDestroy_v2", e))
				}
			}
		}()
		for i := range events {
			if err := drv.call("cuEventCreate", uintptr(unsafe.Pointer(&events[i])), 0); err != nil {
				return err
			}
		}
		if err := drv.call("cuEventRecord", events[0], r.p.stream); err != nil {
			return err
		}
		if err := drv.call("cuGraphLaunch", r.exec, r.p.stream); err != nil {
			return err
		}
		if err := drv.call("cuEventRecord", events[1], r.p.stream); err != nil {
			return err
		}
		if err := drv.call("cuEventSynchronize", events[1]); err != nil {
			return err
		}
		var ms float32
		if err := drv.call("cuEventElapsedTime_v2", uintptr(unsafe.Pointer(&ms)), events[0], events[1]); err != nil {
			return err
		}
		took = time.Duration(float64(ms) * 1e6)
		return nil
	})
	return took, err
}
