package gate

import (
	"regexp"
	"strings"
)

// types are Metal's own that a body may name; vectors of 2, 3 and 4 are types too.
var types = set(`bool char uchar short ushort int uint long ulong size_t half float`)

// pointees are the further types of buffers.
var pointees = set(`atomic_int atomic_uint atomic_float`)

// functions are Metal's own that a body may call.
var functions = set(`
	abs absdiff ceil clamp copysign exp exp10 exp2 fabs floor fma fmax fmin fmod fract ldexp log log10 log2 max min mix
	pow powr rint round rsqrt saturate select sign sqrt step trunc
	acos asin atan atan2 cos cosh sin sinh tan tanh
	all any isfinite isinf isnan signbit dot
	clz ctz mulhi popcount extract_bits
	as_type
	simd_all simd_any simd_ballot simd_broadcast simd_max simd_min simd_or simd_and simd_xor simd_product simd_sum
	simd_prefix_exclusive_sum simd_prefix_inclusive_sum
	simd_shuffle simd_shuffle_down simd_shuffle_up simd_shuffle_xor
	simdgroup_barrier threadgroup_barrier`)

// values are Metal's own constants, those of enumerations by their scope.
var (
	values = set(`true false INFINITY NAN`)
	scopes = map[string]map[string]bool{"mem_flags": set(`mem_none mem_device mem_threadgroup`)}
)

// templates are Metal's own functions that take template arguments.
var templates = set(`as_type`)

// Names that the stage file common/phases.metal defines for bodies: the ready
// point, and two that say how the loop behind them is unrolled.
const readyPoint = "FOUNDRY_READY"

var unrolls = set(`FOUNDRY_UNROLL FOUNDRY_UNROLL_TILES`)

// keywords are the words that no name may be: those of C++ and its GNU dialect, of
// Metal and of CUDA.
var keywords = set(`
	alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class
	co_await co_return co_yield compl concept const const_cast consteval constexpr constinit continue decltype
	default delete do double dynamic_cast else enum explicit export extern false float for friend goto if inline int
	long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public register
	reinterpret_cast requires return short signed sizeof static static_assert static_cast struct switch template
	this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t
	while xor xor_eq typeof restrict
	kernel vertex fragment device constant threadgroup thread threadgroup_imageblock ray_data object_data metal`)

// macros are words that Metal's library and those of C++ have for numbers.
var macros = regexp.MustCompile(`^(?:INFINITY|NAN|NULL|MAXFLOAT|HUGE_VALF?|(?:FLT|DBL|HALF|BFLOAT|U?(?:CHAR|SHRT|INT|LONG)|SCHAR|CHAR|SIZE)_[A-Z0-9_]+|M_[A-Z0-9_]+)$`)

var identifier = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,199}$`)

// ownName reports whether a word may be a name of the body's own: no keyword, nothing
// that C++ reserves or that the header has for itself.
func ownName(word string) bool {
	lower := strings.ToLower(word)
	return identifier.MatchString(word) && !keywords[word] && !macros.MatchString(word) && !isType(word) && !pointees[word] &&
		!strings.Contains(word, "__") && !strings.HasPrefix(lower, "foundry")
}

// isType reports whether a word is a scalar or vector type of Metal.
func isType(word string) bool {
	if n := len(word); n > 1 && word[n-1] >= '2' && word[n-1] <= '4' {
		return types[word[:n-1]] && word[:n-1] != "size_t"
	}
	return types[word]
}

// width is how many elements of at most 32 bits a value of the type word has; 1 of those of
// stage files.
func width(word string) uint64 {
	n := uint64(1)
	if last := word[max(0, len(word)-1):]; isType(word) && last >= "2" && last <= "4" {
		n, word = uint64(last[0]-'0'), word[:len(word)-1]
	}
	if word == "long" || word == "ulong" || word == "size_t" {
		n *= 2
	}
	return n
}

var swizzle = regexp.MustCompile(`^[xyzw]{1,4}$`)

// Numbers that a body may have.
var (
	integer  = regexp.MustCompile(`^(?:0|[1-9][0-9]{0,18}|0x[0-9a-fA-F]{1,16})(u|ul)?$`)
	floating = regexp.MustCompile(`^[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][-+]?[0-9]{1,3})?[fh]$`)
)

func set(words string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(words) {
		out[w] = true
	}
	return out
}
