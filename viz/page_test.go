package viz_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"foundry/frontends/checkpoint"
	models "foundry/frontends/model"
	"foundry/ir/cost"
	"foundry/ir/sym"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/runtime/child"
	"foundry/runtime/devicetest"
	"foundry/viz"
)

// page writes the page of a synthetic model, and compiles the plan that it is of.
func page(t *testing.T, size string) (string, *plan.Plan) {
	t.Helper()
	m, err := models.Open("synth:qwen2.5-"+size, checkpoint.Hub{})
	require.NoError(t, err)
	o := compile.Options{Sampler: true}
	var b bytes.Buffer
	require.NoError(t, viz.WritePage(t.Context(), &b, m, viz.Page{Compile: o, Worth: map[string]viz.Worth{
		"drop-repeat-kv": {Saves: 12.5, PerSite: 0.5, Share: 0.1, SavesAlone: 3, Matched: true},
	}}))
	c, err := compile.Model(m, o)
	require.NoError(t, err)
	return b.String(), c.Plan
}

var packed = regexp.MustCompile(`<script type="application/octet-stream" id="data">([^<]*)</script>`)

// pageContent is what the page's script reads, as far as it is compared.
type pageContent struct {
	Hash    string
	Times   string
	Entries []struct {
		Name       string
		DeviceUs   float64 `json:"device_us"`
		Dispatches []struct {
			Label        string
			Kernel, Wave int
			Us           float64
			Bytes        int64
			Nodes        []plan.Node
			Bind         []struct{ Buffer string }
		}
		Passes []struct {
			Name    string
			Changed bool
		}
		Pictures map[string]string
	}
	Kernels   []struct{ Name, Source string }
	Decisions []struct {
		Entry, Pass, Outcome string
		Sites                int
	}
}

func contentOf(t *testing.T, text string) (c pageContent) {
	t.Helper()
	found := packed.FindStringSubmatch(text)
	require.NotNil(t, found)
	raw, err := base64.StdEncoding.DecodeString(found[1])
	require.NoError(t, err)
	z, err := gzip.NewReader(bytes.NewReader(raw))
	require.NoError(t, err)
	data, err := io.ReadAll(z)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &c))
	return c
}

// The page is of the plan that compile writes: its dispatches, kernels, bindings and
// decisions are the plan's, its times add up to the plan's, and it takes nothing from
// elsewhere.
func TestPageIsThePlan(t *testing.T) {
	text, p := page(t, "0.5b")
	again, _ := page(t, "0.5b")
	require.True(t, text == again, "equal input gives equal bytes")
	require.Less(t, len(text), 5<<20)
	for _, outside := range []string{"src=", "@import", "url(", "http-equiv", `href="http`} {
		require.False(t, strings.Contains(packed.ReplaceAllString(text, ""), outside), "the page stands alone, but holds %s", outside)
	}
	c := contentOf(t, text)
	require.Equal(t, p.Hash, c.Hash)
	require.Len(t, c.Kernels, len(p.Kernels))
	for i, k := range c.Kernels {
		require.Equal(t, p.Kernels[i].Name, k.Name)
		require.Equal(t, p.Kernels[i].Source, k.Source)
	}
	type fared struct{ Entry, Pass, Outcome string }
	want, sites := map[fared]int{}, map[fared]int{}
	for _, d := range p.Decisions {
		want[fared{d.Entry, d.Pass, d.Outcome}]++
	}
	for _, d := range c.Decisions {
		sites[fared{d.Entry, d.Pass, d.Outcome}] += d.Sites
	}
	require.Equal(t, want, sites)
	require.Len(t, c.Entries, 2)
	for _, e := range c.Entries {
		entry, err := p.Entry(e.Name)
		require.NoError(t, err)
		at, sum := 0, 0.0
		for _, s := range entry.Steps {
			if s.Dispatch == nil {
				continue
			}
			d, have := s.Dispatch, e.Dispatches[at]
			require.Equal(t, d.Label, have.Label)
			require.Equal(t, d.Kernel, have.Kernel)
			require.Equal(t, d.Wave, have.Wave)
			require.Equal(t, d.Nodes, have.Nodes)
			require.Len(t, have.Bind, len(d.Bind))
			for i, b := range d.Bind {
				require.Equal(t, p.Buffers[b.Buffer].Name, have.Bind[i].Buffer)
			}
			sum += have.Us
			at++
		}
		require.Len(t, e.Dispatches, at)
		require.InDelta(t, entry.Modelled.DeviceUs, sum, 0.06, "plan.json rounds to a tenth of a us")
		require.InDelta(t, e.DeviceUs, sum, 1e-6)
		require.Len(t, e.Pictures, 4)
		require.Equal(t, "input", e.Passes[0].Name)
	}
}

// driver runs steps in the page and leaves what they found in the document's title.
const driver = `<script>(async () => {
	const until = what => new Promise(done => { const timer = setInterval(() => { if (what()) { clearInterval(timer); done(); } }, 20); });
	const out = {}, text = id => document.getElementById(id).textContent;
	const drawn = async name => { await until(() => document.body.dataset.drawn === name); };
	await until(() => data && document.body.dataset.shown);
	out.rows = document.querySelectorAll('#fusions tbody tr').length;
	document.querySelector('#fusions tbody tr').click();
	out.panel = text('side');
	go('passes');
	const label = entry().dispatches.find(d => d.layer === 0).nodes[1].label;
	document.querySelector('[data-value="' + label + '"]').click();
	out.followed = [...document.querySelectorAll('.column')].filter(c => c.querySelector('.on')).length;
	const before = document.querySelectorAll('.line').length;
	document.querySelector('.fold').click();
	out.unfolded = document.querySelectorAll('.line').length - before;
	go('plan');
	const rect = document.querySelectorAll('#timeline rect')[3];
	rect.dispatchEvent(new MouseEvent('click'));
	out.kernel = Number(document.getElementById('kernel').dataset.kernel);
	out.side = text('side');
	go('decisions');
	const sites = () => [...document.querySelectorAll('#decisions tbody tr')].map(r => Number(r.children[3].textContent));
	document.querySelectorAll('#decisions th')[3].click();
	out.sorted = sites();
	go('picture');
	await drawn('plan-folded');
	out.first = document.querySelectorAll('*').length;
	out.boxes = [...document.querySelectorAll('g[id^="u-"]')].map(g => g.id.slice(2));
	[...document.querySelectorAll('g.cluster > text')].find(t => / × \d+$/.test(t.textContent)).dispatchEvent(new MouseEvent('click', { bubbles: true }));
	await drawn('plan');
	out.all = [...document.querySelectorAll('g[id^="u-"]')].map(g => g.id.slice(2));
	out.lines = document.querySelectorAll('g.barrier polyline').length;
	state.whole = false; go('graph');
	await drawn('graph-folded');
	out.graph = document.querySelectorAll('g[id^="u-"]').length;
	out.wide = document.documentElement.scrollWidth - innerWidth;
	document.documentElement.classList.toggle('dark');
	for (const tab of Object.keys(tabs)) {
		go(tab);
		const shown = () => tab === 'graph' ? document.body.dataset.drawn === 'graph-folded' : tab === 'picture' ? document.body.dataset.drawn === 'plan-folded' : true;
		await until(shown);
		out.wide = Math.max(out.wide, document.documentElement.scrollWidth - innerWidth);
	}
	out.errors = errors;
	out.done = true;
	document.title = JSON.stringify(out);
})();</script>`

const listener = `<script>window.errors = []; addEventListener('error', e => errors.push(e.message)); addEventListener('unhandledrejection', e => errors.push(String(e.reason))); console.error = (...a) => errors.push(a.join(' '));</script>`

// browser is headless Chromium; the test is skipped, and says so, where there is none.
func browser(t *testing.T) string {
	t.Helper()
	var err error
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		var path string
		if path, err = exec.LookPath(name); err == nil {
			return path
		}
	}
	devicetest.Need(t, err)
	return ""
}

// In a browser, on a desk and on a phone, light and dark: a fusion's reasons are opened, a
// value is followed, layers are unfolded, a kernel is opened, the log is sorted, pictures
// are drawn, and nothing complains.
func TestPageInBrowser(t *testing.T) {
	path := browser(t)
	// 500 is the narrowest window that Chromium opens.
	runs := []struct{ size, window string }{{"0.5b", "1280,900"}, {"0.5b", "500,844"}}
	if os.Getenv("FOUNDRY_COMPLETE") != "" {
		runs = append(runs, struct{ size, window string }{"72b", "1280,900"})
	}
	for _, r := range runs {
		text, p := page(t, r.size)
		file := filepath.Join(t.TempDir(), "page.html")
		driven := strings.Replace(text, "<head>", "<head>"+listener, 1)
		driven = strings.Replace(driven, "</body>", driver+"</body>", 1)
		require.NoError(t, os.WriteFile(file, []byte(driven), 0o600))
		start := time.Now()
		out, _, err := child.Run(t.Context(), child.Command{Path: path, Args: []string{
			"--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=" + r.window, "--virtual-time-budget=120000", "--user-data-dir=" + t.TempDir(), "--dump-dom", "file://" + file,
		}, Limits: child.Limits{Time: 3 * time.Minute}})
		require.NoError(t, err)
		title := regexp.MustCompile(`<title>([^<]*)</title>`).FindSubmatch(out)
		require.NotNil(t, title)
		var found struct {
			Rows, Followed, Unfolded, Kernel, First, Graph, Wide, Lines int
			Panel, Side                                                 string
			Sorted                                                      []int
			Boxes, All, Errors                                          []string
			Done                                                        bool
		}
		require.NoError(t, json.Unmarshal([]byte(strings.ReplaceAll(string(title[1]), "&quot;", `"`)), &found), "%.400s", title[1])
		t.Logf("%s in %s: %d bytes, everything in %s", r.size, r.window, len(text), time.Since(start).Round(10*time.Millisecond))
		require.Empty(t, found.Errors)
		require.True(t, found.Done)
		require.Contains(t, found.Panel, "drop-repeat-kv", "what saves most stands first")
		require.Greater(t, found.Rows, 15)
		require.Greater(t, found.Followed, 5)
		require.Greater(t, found.Unfolded, 100)
		require.Less(t, found.First, 20000)
		require.LessOrEqual(t, found.Wide, 0, "nothing is wider than the window")
		require.IsDecreasing(t, append(distinctInts(found.Sorted), -1))

		decode, err := p.Entry("decode")
		require.NoError(t, err)
		var labels []string
		var fourth *plan.Dispatch
		for _, s := range decode.Steps {
			if s.Dispatch != nil {
				if labels = append(labels, s.Dispatch.Label); len(labels) == 4 {
					fourth = s.Dispatch
				}
			}
		}
		require.Equal(t, fourth.Kernel, found.Kernel)
		flops := message.NewPrinter(language.English).Sprint(fourth.Flops.Eval(cost.Typical(sym.Bounds{TMin: 1, TMax: 1, SMax: int64(p.Model.Context), PMax: int64(p.Model.Context) - 1})))
		require.Contains(t, found.Side, "flops"+flops, "a number that is shown is the plan's")
		require.Equal(t, p.Stats(decode, sym.Env{T: 1}).Barriers, found.Lines)
		require.Contains(t, found.Side, p.Kernels[fourth.Kernel].Name)
		require.Contains(t, found.Side, fourth.Label)
		require.ElementsMatch(t, labels, found.All, "a box a dispatch")
		require.Subset(t, labels, found.Boxes)
		require.Less(t, len(found.Boxes), 20)
		require.Positive(t, found.Graph)
	}
}

func distinctInts(list []int) (out []int) {
	for _, n := range list {
		if len(out) == 0 || out[len(out)-1] != n {
			out = append(out, n)
		}
	}
	return out
}

// Measured times stand in place of decode's modelled ones; a kernel that none was
// measured of is an error.
func TestPageHasMeasuredTimes(t *testing.T) {
	m, err := models.Open("kjv-2m", checkpoint.Hub{})
	require.NoError(t, err)
	c, err := compile.Model(m, compile.Options{})
	require.NoError(t, err)
	o := viz.Page{Device: "cuda", Times: map[string]float64{}}
	for i, k := range c.Plan.Kernels {
		o.Times[k.Name] = float64(i + 1)
	}
	var b bytes.Buffer
	require.NoError(t, viz.WritePage(t.Context(), &b, m, o))
	content := contentOf(t, b.String())
	require.Equal(t, "measured on cuda", content.Times)
	for _, e := range content.Entries {
		sum := 0.0
		for _, d := range e.Dispatches {
			if sum += d.Us; e.Name == "decode" {
				require.Equal(t, float64(d.Kernel+1), d.Us)
			}
		}
		require.InEpsilon(t, sum, e.DeviceUs, 1e-9)
	}
	in, err := c.Plan.Entry("decode")
	require.NoError(t, err)
	name := c.Plan.Kernels[in.Steps[0].Dispatch.Kernel].Name
	delete(o.Times, name)
	require.ErrorContains(t, viz.WritePage(t.Context(), &b, m, o), "no time was measured of kernel "+name)
}

// Dispatches that copy a result, as no node of the graph does, have a time too.
func TestPageOfCopiedResults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "copied.fir")
	require.NoError(t, os.WriteFile(file, []byte(`graph @copied (T=1..4, P=0..3, S<=4) {
  %0 = input "x" : f32[T, 8]
  %1 = weight "w" : f32[6, 8]
  %2 = matmul_nt %0, %1 : f32[T, 6] @"proj"
  return y=%2, again=%2, x=%0
}
`), 0o600))
	m, err := models.Open(file, checkpoint.Hub{})
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, viz.WritePage(t.Context(), &b, m, viz.Page{}))
	dispatches := contentOf(t, b.String()).Entries[0].Dispatches
	require.Len(t, dispatches, 3)
	for _, d := range dispatches {
		require.Positive(t, d.Us)
	}
}
