package cuda

import "unsafe"

// timer brackets each launch of an encoder with events. A nil timer does
// nothing.
type timer struct {
	labels []string
	events []uintptr // two a launch
}

func (t *timer) before(e *encoder, label string) error {
	if t == nil {
		return nil
	}
	t.labels = append(t.labels, label)
	return t.record(e)
}

func (t *timer) after(e *encoder) error {
	if t == nil {
		return nil
	}
	return t.record(e)
}

func (t *timer) record(e *encoder) error {
	var ev uintptr
	drv := e.p.d.drv
	if err := drv.call("cuEventCreate", uintptr(unsafe.Pointer(&ev)), 0); err != nil {
		return err
	}
	t.events = append(t.events, ev)
	return drv.call("cuEventRecord", ev, e.stream)
}
