package bench

import (
	"maps"
	"slices"
	"strings"

	"foundry/frontends/model"
	"foundry/lower/compile"
	"foundry/lower/plan"
	"foundry/passes"
)

// Saving is what a fusion is worth: the difference of two rows, of which one's pipeline
// has it and the other's has not. What is saved is positive.
type Saving struct {
	Fusion     string             `json:"fusion"`
	With       string             `json:"with"`    // variant that has it
	Without    string             `json:"without"` // variant that has not
	Dispatches int                `json:"dispatches"`
	Waves      int                `json:"waves"`
	MovedBytes int64              `json:"moved_bytes"`
	Modelled   map[string]float64 `json:"modelled"`      // us by target
	Measured   *Interval          `json:"measured_us"`   // the measured saving; null where either row was not measured
	Why        string             `json:"why,omitempty"` // the cost model's reasons at the sites of a fusion that is predicted to cost
}

// rival says which variant another is compared with, and what tells them apart.
type rival struct {
	variant string // the variant to compare with; empty: none
	fusion  string
	lacks   bool // a row without the fusion; otherwise the other one is
}

// savings returns what the variants save against their rivals, by variant.
func (o *Options) savings(m *model.Model, rows []Row) (map[string]*Saving, error) {
	byName, out := map[string]*Row{}, map[string]*Saving{}
	for i := range rows {
		for _, name := range append([]string{rows[i].Variant}, rows[i].Also...) {
			byName[name] = &rows[i]
		}
	}
	for _, v := range o.Variants {
		with, without := byName[v.Name], byName[v.rival.variant]
		if with == nil || without == nil {
			continue
		}
		s := Saving{Fusion: v.rival.fusion, With: v.Name, Without: v.rival.variant}
		if v.rival.lacks {
			with, without, s.With, s.Without = without, with, s.Without, s.With
		}
		s.subtract(with, without)
		if t := s.costsOn(); t != "" {
			var err error
			if s.Why, err = o.reasonAgainst(m, with, without, t); err != nil {
				return nil, err
			}
		}
		out[v.Name] = &s
	}
	return out, nil
}

// subtract fills in the difference of two rows.
func (s *Saving) subtract(with, without *Row) {
	s.Modelled = map[string]float64{}
	s.Dispatches, s.Waves, s.MovedBytes = without.Dispatches-with.Dispatches, without.Waves-with.Waves, without.MovedBytes-with.MovedBytes
	for t, us := range without.Modelled {
		s.Modelled[t] = us - with.Modelled[t]
	}
	if len(with.Samples) > 0 && len(without.Samples) > 0 {
		i := difference(without.Samples, with.Samples)
		s.Measured = &i
	}
}

// costsOn names the first target that is predicted to lose by the fusion, empty for none.
func (s *Saving) costsOn() string {
	for _, t := range slices.Sorted(maps.Keys(s.Modelled)) {
		if s.Modelled[t] < 0 {
			return t
		}
	}
	return ""
}

// reasonAgainst lets the cost model of a target weigh, at each site, the fusions that with
// has and without has not, and returns what it says against the first that it would leave.
func (o *Options) reasonAgainst(m *model.Model, with, without *Row, target string) (string, error) {
	fewer, err := passes.Parse(without.Passes)
	if err != nil {
		return "", err
	}
	p, err := passes.Parse(with.Passes)
	if err != nil {
		return "", err
	}
	calls, weighed := make([]string, len(p)), []string{}
	for i, c := range p {
		calls[i] = c.String()
		if !strings.HasPrefix(c.Pass.Name, "fuse-") || slices.ContainsFunc(fewer, func(f passes.Call) bool { return f.String() == calls[i] }) {
			continue
		}
		if !strings.Contains(calls[i], "when=") {
			head, options, _ := strings.Cut(strings.TrimSuffix(calls[i], "}"), "{")
			calls[i] = head + "{" + strings.Join(append(strings.FieldsFunc(options, func(r rune) bool { return r == ',' }), "when=cheaper"), ",") + "}"
		}
		weighed = append(weighed, calls[i])
	}
	c := o.Compile
	c.Variant, c.Passes, c.PrefillPasses, c.Target = "", strings.Join(calls, ","), "", target
	g, err := compile.Fuse(m, c)
	if err != nil {
		return "", err
	}
	for _, d := range g.Decisions {
		if d.Entry == with.Phase && d.Outcome == plan.Unprofitable && slices.Contains(weighed, d.Pass) {
			return target + ": " + d.Reason, nil
		}
	}
	return "", nil
}
