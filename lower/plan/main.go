package plan

import (
	"regexp"
	"strings"
)

// Main is the kind of loop that a kernel is built around: what owns its grid and its
// threads. What comes before it in the kernel makes its operand, what comes behind it
// makes its result. It is a name of words in lower case with hyphens between them; a plan
// may have others than those here.
type Main string

// The mains that readers of plans ask for, or whose phrase is another than their name.
const (
	Elementwise       Main = "elementwise"        // an element, or four, a thread
	Create            Main = "create"             // the same, of what has no operand
	Rows              Main = "rows"               // a threadgroup a row, reduced
	RowsMerge         Main = "rows-merge"         // what parts of rows left
	ProductRows       Main = "product-rows"       // simdgroups that own rows of weights
	ProductTiles      Main = "product-tiles"      // threadgroups that own blocks of the product
	ProductMatrices   Main = "product-matrices"   // blocks of the product in matrix units
	WeightExpansion   Main = "weight-expansion"   // weights of another format as halves
	BatchedRows       Main = "batched-rows"       // products of a head, row by row
	BatchedTiles      Main = "batched-tiles"      // products of a head in blocks
	SoftmaxSegments   Main = "softmax-segments"   // a part of a row of a softmax
	SoftmaxMerge      Main = "softmax-merge"      // what the segments left
	AttentionRows     Main = "attention-rows"     // a query in one pass over the keys
	AttentionTiles    Main = "attention-tiles"    // a block of queries in one pass over the keys
	AttentionMatrices Main = "attention-matrices" // the same, products in matrix units
	AttentionParts    Main = "attention-parts"    // a query in a pass over a part of the keys
	AttentionMerge    Main = "attention-merge"    // what the parts left
	SampleScores      Main = "sample-scores"      // logits behind penalty and temperature
	SampleCuts        Main = "sample-cuts"        // where top-k, top-p and min-p cut
	SampleSums        Main = "sample-sums"        // probabilities of parts of the vocabulary
	SampleChoice      Main = "sample-choice"      // the token that the random number falls on
	WeightSizes       Main = "weight-sizes"       // of the preparation: norms and maxima of a weight
	RangeFromBounds   Main = "range-from-bounds"  // of the preparation: a range
)

// phrases say what a main is in a kernel's banner.
var phrases = map[Main]string{
	Elementwise: "elementwise", Create: "four elements a thread", Rows: "rows", RowsMerge: "parts of rows",
	ProductRows: "rows of a matrix product", ProductTiles: "blocks of a matrix product", ProductMatrices: "blocks of a matrix product in matrix units",
	WeightExpansion: "weights as halves",
	BatchedRows:     "products of a head", BatchedTiles: "a block of products of a head in tiles",
	SoftmaxSegments: "segments", SoftmaxMerge: "merge of segments",
	AttentionRows: "one pass over the keys", AttentionTiles: "a block of queries in tiles",
	AttentionMatrices: "a block of queries in matrix units",
	AttentionParts:    "one pass over the keys of a part", AttentionMerge: "parts of the cache",
	SampleScores: "scores", SampleCuts: "cuts", SampleSums: "sums", SampleChoice: "choose",
	WeightSizes: "sizes of a weight", RangeFromBounds: "a range from bounds",
}

// Phrase is what m is in words: those of its name, where nothing else is said.
func (m Main) Phrase() string {
	if p, ok := phrases[m]; ok {
		return p
	}
	return strings.ReplaceAll(string(m), "-", " ")
}

var mainName = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
