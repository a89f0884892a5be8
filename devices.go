package foundry

import (
	"fmt"

	"foundry/runtime/cpu"
)

// DeviceStatus is what was found of one device.
type DeviceStatus struct {
	Name   string
	Usable bool
	Note   string // what it is or, when it is not usable, what was looked for and how to get it
}

// FindDevices looks for every device, in the order in which Auto prefers them.
func FindDevices(c cpu.Options) []DeviceStatus {
	var out []DeviceStatus
	for _, x := range expectations {
		status := DeviceStatus{Name: x.device}
		dev, err := OpenDevice(x.device, c)
		if err == nil {
			info := dev.Info()
			status.Usable, status.Note = true, fmt.Sprintf("%s; %s", info.Name, info.Note)
			err = dev.Close()
		}
		if err != nil {
			status.Usable, status.Note = false, err.Error()
		}
		out = append(out, status)
	}
	return append(out, DeviceStatus{Name: Ref, Usable: true, Note: "the interpreter, in float32 with float64 sums; needs nothing installed"})
}
