// Package passes turns a graph of primitive operations into one whose fused
// nodes are the compound kernels to come, by named edits that never change what
// is computed.
//
// A Pipeline is a list of passes, read from a string such as
// "canonicalize,cse,fuse-attention,fuse-swiglu-down{residual=false}". Run applies
// it, verifies the graph after every pass, and writes one Decision for each site
// that a pattern matched or nearly matched, with the reason.
//
// Read next: table.go for the passes and what orders them, patterns.go for the
// patterns as text, template.go and match.go for how that text is matched,
// fuse.go for what happens to a match, then foundry/lower/metal for the kernels.
package passes
