package decoder

import "fmt"

// windows is what a config.json says of sliding windows.
type windows struct {
	On         bool     `json:"use_sliding_window"`
	Size       *int64   `json:"sliding_window"`
	From       *int64   `json:"max_window_layers"`
	LayerTypes []string `json:"layer_types"`
}

// The names of layer_types.
const (
	fullAttention    = "full_attention"
	slidingAttention = "sliding_attention"
)

// The values where a configuration gives none, those of the published architecture.
const (
	defaultWindow = 4096
	defaultFrom   = 28
)

// byLayer returns how many tokens a token sees in which layers: those from max_window_layers
// on, or those that layer_types names. A window that is not used is none.
func (w *windows) byLayer(layers int) (size int, sliding []bool, err error) {
	if w.LayerTypes != nil && len(w.LayerTypes) != layers {
		return 0, nil, fmt.Errorf("layer_types has %d entries, want one for each of the %d layers", len(w.LayerTypes), layers)
	}
	from, wanted := int64(defaultFrom), int64(defaultWindow)
	if w.From != nil {
		from = *w.From
	}
	if w.Size != nil {
		wanted = *w.Size
	}
	any := false
	sliding = make([]bool, layers)
	for i := range sliding {
		sliding[i] = w.On && int64(i) >= from
		if w.LayerTypes != nil {
			kind := w.LayerTypes[i]
			switch {
			case kind != fullAttention && kind != slidingAttention:
				return 0, nil, fmt.Errorf("layer_types[%d] is %q, want %q or %q", i, kind, fullAttention, slidingAttention)
			case kind == slidingAttention && !w.On:
				return 0, nil, fmt.Errorf("layer_types[%d] is %q, but use_sliding_window is false", i, kind)
			}
			sliding[i] = kind == slidingAttention
		}
		any = any || sliding[i]
	}
	switch {
	case !any:
		return 0, nil, nil
	case wanted < 1 || wanted > maxPositions:
		return 0, nil, fmt.Errorf("sliding_window is %d, want 1 to %d", wanted, maxPositions)
	}
	return int(wanted), sliding, nil
}

// windowOf is the window of a layer; 0: none.
func (c Config) windowOf(layer int) int {
	if c.Window == 0 || !c.Sliding[layer] {
		return 0
	}
	return c.Window
}

// layerTypes is the model's layer_types.
func (c Config) layerTypes() []string {
	out := make([]string, c.Layers)
	for i := range out {
		out[i] = fullAttention
		if c.windowOf(i) > 0 {
			out[i] = slidingAttention
		}
	}
	return out
}
