package tokenizer

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A pattern that is slow at every character, though no match reaches its own limit,
// is given up within the limit of the text.
func TestSplitTimeOfText(t *testing.T) {
	s, err := newSplitter(Split{Pattern: `a*a*a*b|a`})
	require.NoError(t, err)
	s.textTime = 50 * time.Millisecond
	text := strings.Repeat("a", 400)
	began := time.Now()
	err = s.each(text, deadline([]splitter{s}, text), func(string) {})
	require.ErrorContains(t, err, "splitting text of 400 characters failed at character")
	require.ErrorContains(t, err, "takes too long for this text")
	require.Less(t, time.Since(began), matchTime)

	s.re.MatchTimeout = time.Millisecond // one match alone
	err = s.each(strings.Repeat("a", 4000), deadline([]splitter{s}, text), func(string) {})
	require.EqualError(t, err, "splitting text of 4000 characters failed at character 0: the split pattern takes too long for this text")
}
