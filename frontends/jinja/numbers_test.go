package jinja

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Octal escapes take one to three digits, wherever the text ends, and no more; what is
// no escape stays. Python's unicode-escape says the same.
func TestEscapesOfCharacters(t *testing.T) {
	for text, want := range map[string]string{
		`\0`: "\x00", `\1`: "\x01", `\12`: "\n", `\101`: "A", `\377`: "ÿ", `\400`: "Ā", `\1018`: "A8", `\1234`: "S4", `\18`: "\x018", `a\7`: "a\x07",
		`\8`: `\8`, `\q`: `\q`, `\x41`: "A", `\x413`: "A3", `é`: "é", `\u00e9\u4e2d`: "é中", `\U0001F600!`: "😀!", `\\`: `\`, `\\\61`: `\1`,
	} {
		have, err := render("{{ '"+text+"' }}", nil)
		require.NoError(t, err, text)
		require.Equal(t, want, have, text)
	}
	for _, text := range []string{`\x4`, `\x`, `\u12`, `\U0001F60`, `\ud800`, `\U00110000`, `\xg1`} {
		_, err := render("{{ '"+text+"' }}", nil)
		require.ErrorContains(t, err, "the escape", text)
	}
}

// Powers and products end where int64 does, at both ends; those of 0, 1 and -1 never do.
func TestEndsOfIntegers(t *testing.T) {
	for text, want := range map[string]string{
		"0 ** 0": "1", "0 ** 1": "0", "0 ** 7": "0", "1 ** 9999999999": "1", "(-1) ** 0": "1", "(-1) ** 1": "-1", "(-1) ** 9999999998": "1", "(-1) ** 9999999999": "-1",
		"2 ** 0": "1", "2 ** 1": "2", "2 ** 62": "4611686018427387904", "(-2) ** 3": "-8", "(-2) ** 62": "4611686018427387904", "3 ** 39": "4052555153018976267",
		"3037000499 * 3037000499": "9223372030926249001", "4611686018427387904 * 1": "4611686018427387904", "9223372036854775807 * -1": "-9223372036854775807",
		"(-9223372036854775807 - 1) * 1": "-9223372036854775808", "(-9223372036854775807 - 1) * 0": "0", "0 * (-9223372036854775807 - 1)": "0",
	} {
		have, err := render("{{ "+text+" }}", nil)
		require.NoError(t, err, text)
		require.Equal(t, want, have, text)
	}
	for _, text := range []string{"2 ** 63", "3 ** 40", "(-3) ** 41", "3037000500 * 3037000500", "(-9223372036854775807 - 1) * -1", "4611686018427387904 * 2", "(-9223372036854775807 - 1) * 2"} {
		_, err := render("{{ "+text+" }}", nil)
		require.Error(t, err, text)
	}
}

// What few templates say, and Python says how: each line names a way to get it wrong.
func TestRareWords(t *testing.T) {
	for text, want := range map[string]string{
		"{{ nothing | default }}|":     "|",
		"{{ (-1e308 * 10) | tojson }}": "-Infinity",
		"{{ (1e308 * 10) | tojson }}":  "Infinity",
		"{% for x in [1] %}{{ loop.depth }}{{ loop.depth0 }}{{ loop.length }}{{ loop.last }}{% endfor %}": "101True",
		`{{ "a\x1cb\x1dc\x1ed\x85e\u2028f\u2029g\nh\ri\x0bj\x0ck\x1fl".splitlines() | length }}`:          "11",
		"{{ strftime_now('%Y-%m-%d, %-d.%-m., %%') }}":                                                    "2026-03-05, 5.3., %",
		"{{ 'a' in {'a': 1} }}{{ 'b' in {'a': 1} }}":                                                      "TrueFalse",
		"{{ 9223372036854775806 + 1 }}":                                                                   "9223372036854775807",
		"{{ 1.5 == 1.5 }}{{ 1.5 == 'x' }}{{ 1.5 == 2 }}":                                                  "TrueFalseFalse",
	} {
		have, err := render(text, nil)
		require.NoError(t, err, text)
		require.Equal(t, want, have, text)
	}
	for _, text := range []string{"{{ 9223372036854775807 + 1 }}", "{{ -9223372036854775807 - 2 }}", "{{ 1 + 9223372036854775807 }}", "{{ range(1, 2, 3, 4) }}", "{{ 'a' | upper(1) }}",
		"{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}"} {
		_, err := render(text, nil)
		require.Error(t, err, text)
	}
}

// Values of JSON are read whole, with what is wrong of them.
func TestFromJSON(t *testing.T) {
	v, err := FromJSON([]byte(`{"b": [1, 2.0, 1e2, -9223372036854775808, null, true, "x"], "a": {"b": 1}}`))
	require.NoError(t, err)
	var keys []any
	for key, value := range v.(*Dict).All() {
		keys = append(keys, key)
		if key == "b" {
			require.Equal(t, []any{int64(1), 2.0, 100.0, int64(-9223372036854775808), nil, true, "x"}, value.(*List).Items)
		}
	}
	require.Equal(t, []any{"b", "a"}, keys)
	for range v.(*Dict).All() {
		break // and who has enough gets no more
	}
	for text, want := range map[string]string{
		"1 2": "more than one JSON value", "9223372036854775808": "the number 9223372036854775808 has more than 64 bits", "[9223372036854775808]": "the number 9223372036854775808 has more than 64 bits",
		`{"a": [99999999999999999999]}`: "the number 99999999999999999999 has more than 64 bits",
	} {
		_, err := FromJSON([]byte(text))
		require.EqualError(t, err, want, text)
	}
	for _, text := range []string{"", "[", "[1", "[1,", `{"a"`, `{"a":`, `{"a":1`, "{1:2}", "x", "[1 2]", `{"a":1 "b":2}`} {
		_, err := FromJSON([]byte(text))
		require.Error(t, err, text)
	}
}
