package viz

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"

	"foundry/frontends/model"
	"foundry/ir"
	"foundry/ir/cost"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/viz/graphviz"
)

// Page is what WritePage needs beside a model and how it is compiled.
type Page struct {
	Compile compile.Options
	Weights bool               // weights and constants as boxes of their own
	Worth   map[string]Worth   // savings of decode by call of the pipeline; nil: the page has none
	Times   map[string]float64 // measured us of one dispatch of decode by its kernel, in place of the modelled ones
	Device  string             // the device on which Times were measured
}

// Worth is what a fusion saves on the page's target, us.
type Worth struct {
	Saves      float64 `json:"saves"`    // the saving, where the rest of the pipeline stays
	PerSite    float64 `json:"per_site"` // the saving at one of the sites that it matched
	Share      float64 `json:"share"`    // the part of the time without it
	SavesAlone float64 `json:"alone"`    // the saving where no other fusion runs
	Matched    bool    `json:"matched"`
}

//go:embed page
var pageFiles embed.FS

// pageData is what the page's script reads.
type pageData struct {
	Title   string           `json:"title"`
	Model   plan.Model       `json:"model"`
	Options plan.Options     `json:"options"`
	Hash    string           `json:"hash"`
	Arena   int64            `json:"arena_bytes"`
	Times   string           `json:"times"` // the origin of the times: "modelled on apple-m3-pro, uncalibrated"
	Entries []*pageEntry     `json:"entries"`
	Kernels []pageKernel     `json:"kernels"`
	Logs    []pageDecision   `json:"decisions"`
	Worth   map[string]Worth `json:"worth,omitempty"`
}

// pageEntry is one entry: its graph behind each pass, its dispatches, its pictures.
type pageEntry struct {
	Name       string            `json:"name"`
	Range      string            `json:"range"`
	At         string            `json:"at"` // T and P of times and bytes
	Passes     []pageStage       `json:"passes"`
	Dispatches []pageDispatch    `json:"dispatches"`
	DeviceUs   float64           `json:"device_us"` // time of all waves; plan.json has it rounded
	Pictures   map[string]string `json:"pictures"`  // DOT: graph, graph-folded, plan, plan-folded
}

type pageKernel struct {
	Name        string                `json:"name"`
	Main        plan.Main             `json:"main"`
	Stages      []string              `json:"stages"`
	Threads     int                   `json:"threads"`
	Threadgroup int                   `json:"threadgroup_bytes"`
	Source      string                `json:"source"`
	Slots       []plan.Slot           `json:"slots"`
	Params      []plan.Param          `json:"params"`
	Memory      []plan.ThreadgroupArg `json:"threadgroup"`
}

// pageDecision is a group of sites that fared alike.
type pageDecision struct {
	Entry   string `json:"entry"`
	Pass    string `json:"pass"`
	Outcome string `json:"outcome"`
	Node    string `json:"node"`
	Layers  []int  `json:"layers"`
	Sites   int    `json:"sites"`
	Bytes   int64  `json:"bytes"`
	Waves   int    `json:"waves"`
	Reason  string `json:"reason"`
}

// WritePage compiles a model and writes one page that stands alone: graphs behind each
// pass, pictures, the plan with its kernels, decisions. It needs no network and nothing
// installed: it carries what draws its pictures.
func WritePage(ctx context.Context, w io.Writer, m *model.Model, o Page) error {
	stages := map[string][]pageStage{}
	before := map[string]string{}
	o.Compile.AfterPass = func(pass string, g *ir.Graph) {
		text := g.String()
		s := pageStage{Name: pass, Nodes: len(g.Nodes()), Changed: text != before[g.Name]}
		if s.Changed {
			s.Lines = traced(g)
		}
		before[g.Name] = text
		stages[g.Name] = append(stages[g.Name], s)
	}
	c, err := compile.Model(m, o.Compile)
	if err != nil {
		return err
	}
	p := c.Plan
	d := pageData{
		Title: fmt.Sprintf("%s for %s", m.BaseName(), p.Options.Target), Model: p.Model, Options: p.Options, Hash: p.Hash, Arena: p.ArenaBytes,
		Times: fmt.Sprintf("modelled on %s, uncalibrated", p.Options.Target), Worth: o.Worth,
	}
	if o.Times != nil {
		d.Times = "measured on " + o.Device
	}
	for i := range p.Kernels {
		k := &p.Kernels[i]
		d.Kernels = append(d.Kernels, pageKernel{k.Name, k.Main, k.Stages, k.Threads[0] * k.Threads[1] * k.Threads[2], threadgroupBytes(k), k.Source, k.Slots, k.Params, k.Threadgroup})
	}
	for i := len(c.Entries) - 1; i >= 0; i-- { // decode first
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := o.entry(c, c.Entries[i])
		if err != nil {
			return err
		}
		e.Passes = stages[e.Name]
		d.Entries = append(d.Entries, e)
	}
	for _, e := range d.Entries { // sites that fared alike in two entries are sites of each
		own := slices.DeleteFunc(slices.Clone(p.Decisions), func(d plan.Decision) bool { return d.Entry != e.Name })
		for _, g := range plan.Groups(own) {
			d.Logs = append(d.Logs, pageDecision{g.Entry, g.Pass, g.Outcome, g.Node, g.Layers, g.Count, g.Bytes, g.Waves, g.Reason})
		}
	}
	return d.write(w)
}

// entry is what the page shows of one entry of the plan.
func (o *Page) entry(c *compile.Compiled, g *ir.Graph) (*pageEntry, error) {
	e := &pageEntry{Name: g.Name, Range: boundsText(g.Bounds), Pictures: map[string]string{}}
	times := o.Times
	if g.Bounds.TMax != 1 {
		times = nil
	}
	if err := e.dispatches(c, g, cost.Typical(g.Bounds), times); err != nil {
		return nil, err
	}
	us := map[string]float64{}
	for _, d := range e.Dispatches {
		us[d.Label] += d.Us
	}
	for _, folded := range []bool{false, true} {
		picture := Options{Layer: AllLayers, Collapse: folded, Weights: o.Weights, Ids: true}
		end := ""
		if folded {
			end = "-folded"
		}
		picture.Title = fmt.Sprintf("%s %s, fused", c.Plan.Model.Name, g.Name)
		graph, err := Graph(g, picture)
		if err != nil {
			return nil, err
		}
		picture.Title, picture.Source, picture.Times = fmt.Sprintf("%s %s, plan", c.Plan.Model.Name, g.Name), g, us
		dispatches, err := Plan(c.Plan, g.Name, picture)
		if err != nil {
			return nil, err
		}
		e.Pictures["graph"+end], e.Pictures["plan"+end] = graph, dispatches
	}
	return e, nil
}

// write puts the data and what reads it into one file. What is long is packed, which
// browsers unpack: kernels repeat their common parts.
func (d *pageData) write(w io.Writer) error {
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	file := func(name string) []byte {
		text, _ := pageFiles.ReadFile("page/" + name) // embedded
		return text
	}
	t, err := template.New("page").Parse(string(file("page.html.tmpl")))
	if err != nil {
		return err
	}
	return t.Execute(w, struct {
		Title         string
		Style         template.CSS
		Script        template.JS
		Data, Drawing template.HTML
	}{
		d.Title, template.CSS(file("page.css")), template.JS(file("page.js")),
		packed("data", data), packed("drawing", []byte(graphviz.Script)),
	})
}

// packed is an element with bytes in gzip and base64, which no text can end.
func packed(id string, b []byte) template.HTML {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // a level that there is
	_, _ = z.Write(b)                                       // a buffer's errors are none
	_ = z.Close()
	return template.HTML(`<script type="application/octet-stream" id="` + id + `">` + base64.StdEncoding.EncodeToString(out.Bytes()) + `</script>`)
}
