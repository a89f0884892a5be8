package compile

import (
	"fmt"
	"slices"
	"strings"

	"foundry/passes"
)

// checkPins is an error where a pass asks for a kernel that none of its sites has, in
// whatever entry: the plan would be the unfused one and say so in its log alone. A kernel
// that sites of one entry have and none of another is noted: many rows and one row have
// different kernels, and one pipeline serves both unless prefill has its own.
func (g *Graphs) checkPins(logs []passes.Log) error {
	served := map[string]bool{}
	for i := range logs {
		for _, p := range g.pinned(&logs[i]) {
			served[p.Pass] = served[p.Pass] || p.Served > 0
		}
	}
	for i := range slices.Backward(logs) {
		for _, p := range g.pinned(&logs[i]) {
			if !served[p.Pass] && p.Lacking > 0 {
				return fmt.Errorf("%s: of %s of %s none has such a kernel: take other words, another target or no kernel=; %s", p.Pass, countSites(p.Lacking), g.Entries[i].Name, p.Why)
			}
			g.notePin(g.Entries[i].Name, p)
		}
	}
	return nil
}

// pinned returns the kernels that somebody asked for by name; those of a forced attention
// backend are looked at by checkForced.
func (g *Graphs) pinned(log *passes.Log) []passes.Pinned {
	if backendNamed(g.Options.Attention).kernel == "" {
		return log.Pins
	}
	return slices.DeleteFunc(slices.Clone(log.Pins), func(p passes.Pinned) bool {
		name, _, _ := strings.Cut(p.Pass, "{")
		return slices.Contains(attentionPasses, name)
	})
}

// notePin notes a kernel that no site of the entry has.
func (g *Graphs) notePin(entry string, p passes.Pinned) {
	if p.Served == 0 && p.Lacking > 0 {
		g.Notes = append(g.Notes, fmt.Sprintf("%s leaves %s of %s as they were: no such kernel there", p.Pass, countSites(p.Lacking), entry))
	}
}

func countSites(n int) string {
	if n == 1 {
		return "1 site"
	}
	return fmt.Sprintf("%d sites", n)
}
