package jinja

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type goldens struct {
	Values json.RawMessage
	Cases  []struct{ Template, Text, Error string }
}

func readGoldens(t testing.TB) (values map[string]any, g goldens) {
	raw, err := os.ReadFile("testdata/goldens.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &g))
	v, err := FromJSON(g.Values)
	require.NoError(t, err)
	values = map[string]any{}
	for _, key := range v.(*Dict).keys {
		values[key.(string)], _ = v.(*Dict).Get(key)
	}
	return values, g
}

// goldenTime is what the goldens' strftime_now told.
var goldenTime = time.Date(2026, 3, 5, 7, 8, 9, 123456000, time.UTC)

func render(template string, values map[string]any) (string, error) {
	t, err := Parse(template)
	if err != nil {
		return "", err
	}
	return t.Render(values, goldenTime, DefaultLimits)
}

// What jinja2 renders is rendered alike or refused as unsupported, and what it refuses
// is refused.
func TestGoldens(t *testing.T) {
	values, g := readGoldens(t)
	require.Greater(t, len(g.Cases), 700)
	refused := 0
	for _, c := range g.Cases {
		text, err := render(c.Template, values)
		switch {
		case c.Error != "":
			if err == nil {
				t.Errorf("%s\nhave %q, want an error: %s", c.Template, text, c.Error)
			}
		case err != nil && strings.Contains(err.Error(), "not supported"):
			refused++
		case err != nil:
			t.Errorf("%s\n%v, want %q", c.Template, err, c.Text)
		case text != c.Text:
			t.Errorf("%s\nhave %q\nwant %q", c.Template, text, c.Text)
		}
	}
	t.Logf("%d cases, %d of them refused", len(g.Cases), refused)
	require.Less(t, refused, 25)
}
