package passes

import "foundry/ir"

// OpsOf lists the operations of a fusion's pattern where each has no other to stand
// for it.
func OpsOf(pass string) (out []ir.Op) {
	p := builtIn().byName[pass]
	if p.fusion == nil {
		return nil
	}
	for _, l := range p.fusion.template.lines {
		if l.group == "" && len(l.ops) == 1 {
			out = append(out, l.ops[0])
		}
	}
	return out
}
