package graphviz

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func opened(t *testing.T) *Graphviz {
	t.Helper()
	g, err := New(t.Context())
	require.NoError(t, err)
	t.Cleanup(g.Close)
	return g
}

// The script is the file that its README names, and the names here are those that it pairs
// with what they stand for.
func TestNamesAreTheScripts(t *testing.T) {
	readme, err := os.ReadFile("vizjs/README.md")
	require.NoError(t, err)
	sum := sha256.Sum256([]byte(Script))
	require.Contains(t, string(readme), hex.EncodeToString(sum[:]))
	for what, name := range map[string]string{
		"initialise": "aA.%s()", "invert y": "_viz_set_y_invert=A.%s,", "reduce": "_viz_set_reduce=A.%s,", "allocate": "_malloc=A.%s,",
		"read": "_viz_read_one_graph=A.%s,", "context": "_viz_create_context=A.%s,", "reset errors": "_viz_reset_errors=A.%s,",
		"lay out": "_viz_layout=A.%s,", "render": "_viz_render=A.%s,",
	} {
		require.Contains(t, Script, fmt.Sprintf(name, exports[what]), what)
	}
	for name, does := range map[string]string{
		"a": "(A,v,r,j)=>a(", "d": "function(A,v,r,j){try{var t=((A,v,r,j)=>{if(1==r)return S.write", "g": "W,", "h": `()=>a("")`,
		"k": "A=>{var v=i.length", "p": "function(A){return r.agerrMessages.push", "t": "(A,v)=>{var r=vA()", "u": "(A,v)=>$(",
	} {
		require.Contains(t, Script, name+":"+does)
	}
}

// What is drawn holds the text; equal text gives equal bytes, in many drawings at a time.
func TestSVG(t *testing.T) {
	g := opened(t)
	var text strings.Builder
	text.WriteString("digraph { compound=true; subgraph cluster_a { label=<a <B>table</B>>; ")
	for i := range 40 {
		fmt.Fprintf(&text, "n%d [label=\"node %d\"]; n%d -> n%d;", i, i, i, (i*7+1)%40)
	}
	text.WriteString("}}")
	first, err := g.SVG(t.Context(), text.String())
	require.NoError(t, err)
	for i := range 40 {
		require.Contains(t, string(first), fmt.Sprintf(">node %d<", i))
	}
	require.Len(t, regexp.MustCompile(`class="edge"`).FindAll(first, -1), 40)
	require.Contains(t, string(first), ">table<")
	var all sync.WaitGroup
	others := make([][]byte, 4)
	for i := range others {
		all.Go(func() { others[i], _ = g.SVG(t.Context(), text.String()) })
	}
	all.Wait()
	for _, other := range others {
		require.True(t, string(first) == string(other))
	}
}

// A text that is no graph is refused in Graphviz's words.
func TestRefusals(t *testing.T) {
	g := opened(t)
	for text, want := range map[string]string{
		"digraph {": "graphviz: syntax error in line 1", "": "graphviz: the text holds no graph",
		"nonsense": "graphviz: syntax error in line 1 near 'nonsense'",
	} {
		_, err := g.SVG(t.Context(), text)
		require.EqualError(t, err, want)
	}
	_, err := module("no script")
	require.ErrorContains(t, err, "no module")
	_, err = module(Script[:len(Script)/2])
	require.ErrorContains(t, err, "no end")
}

// A drawing that would take minutes ends with its context.
func TestEndsWithItsContext(t *testing.T) {
	g := opened(t)
	var text strings.Builder
	text.WriteString("digraph {")
	for i := range 3000 {
		fmt.Fprintf(&text, "n%d -> n%d; n%d -> n%d;", i, (i*31+7)%3000, i, (i*17+3)%3000)
	}
	text.WriteString("}")
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	start := time.Now()
	_, err := g.SVG(ctx, text.String())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(start), 30*time.Second)
}
