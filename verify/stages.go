package verify

import "slices"

// ProbeStages is what the kernels of a probe are made of.
type ProbeStages struct {
	Kernel, Format string   // its row
	Place          int      // the probe's place in the row
	Stages         []string // stage files, in order
	Bytes          int      // size of the kernels' texts, in bytes
}

// StagesOf lists the probes that a run with o has, with what their kernels and those of
// their twins are made of. Nothing runs, and no device is needed.
func StagesOf(o Options) ([]ProbeStages, error) {
	all, err := o.trials()
	if err != nil {
		return nil, err
	}
	out := make([]ProbeStages, len(all))
	for i, s := range all {
		p, err := lower(s.entries(), s.probe.on.target(o.Target), o.Shaders)
		if err != nil {
			return nil, err
		}
		x := &out[i]
		x.Kernel, x.Format, x.Place = s.kernel.name, s.format, s.place
		for _, k := range p.Kernels {
			x.Bytes += len(k.Source)
			x.Stages = append(x.Stages, k.Stages...)
		}
		slices.Sort(x.Stages)
		x.Stages = slices.Compact(x.Stages)
	}
	return out, nil
}
