package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"foundry/runtime/files"
)

// measuredTimes are what a page shows in place of modelled times; none: no times.
type measuredTimes struct {
	device string
	us     map[string]float64 // time of one dispatch, by its kernel
}

// maxTimes is beyond what bench prints of all variants, in bytes.
const maxTimes = 64 << 20

// readTimes reads what bench --per-kernel --json printed of decode and one variant,
// since kernels of two may share a name. An empty name is no times.
func readTimes(name string) (measuredTimes, error) {
	if name == "" {
		return measuredTimes{}, nil
	}
	text, err := files.ReadAny(name, maxTimes)
	if err != nil {
		return measuredTimes{}, fmt.Errorf("--times: %w", err)
	}
	out := measuredTimes{us: map[string]float64{}}
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var row struct {
			Device, Phase string
			Kernels       []struct {
				Kernel string
				Us     float64
			}
		}
		switch err := d.Decode(&row); {
		case errors.Is(err, io.EOF) && len(out.us) == 0:
			return out, fmt.Errorf("--times: %s has no kernels of decode; make it with foundry bench --per-kernel --json", name)
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return out, fmt.Errorf("--times: %s is not what bench --per-kernel --json prints: %w", name, err)
		case row.Phase != "decode" || len(row.Kernels) == 0:
			continue
		case len(out.us) > 0:
			return out, fmt.Errorf("--times: %s has the kernels of several variants; make it of the page's alone, with bench --variants NAME", name)
		}
		out.device = row.Device
		for _, k := range row.Kernels {
			out.us[k.Kernel] = k.Us
		}
	}
}
