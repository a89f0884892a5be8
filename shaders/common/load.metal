// Loads and stores of one element or of four consecutive ones.
//
// Everything between loads and stores is float (int for indices, which are only
// moved). Memory holds float, half, or
// bfloat as its upper 16 bits in a ushort, shifted into place, so that no kernel
// needs the bfloat type. The forms of four want an address that is a multiple of
// four elements. Stores round to nearest even.
inline float load1(device const float *p) { return p[0]; }
inline float load1(device const half *p) { return float(p[0]); }
inline float load1(device const ushort *p) { return as_type<float>(uint(p[0]) << 16); }
inline float4 widen(float4 v) { return v; }
inline float4 widen(half4 v) { return float4(v); }
inline float4 widen(ushort4 v)
{
    return float4(as_type<float>(uint(v.x) << 16), as_type<float>(uint(v.y) << 16),
                  as_type<float>(uint(v.z) << 16), as_type<float>(uint(v.w) << 16));
}

inline float4 load4(device const float *p) { return *(device const float4 *)p; }
inline float4 load4(device const half *p) { return widen(*(device const half4 *)p); }
inline float4 load4(device const ushort *p) { return widen(*(device const ushort4 *)p); }

inline int load1(device const int *p) { return p[0]; }
inline int4 load4(device const int *p) { return *(device const int4 *)p; }

inline ushort bf16_bits(float x)
{
    const uint u = as_type<uint>(x);
    return ushort((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 64u : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

inline float bf16_round(float x) { return as_type<float>(uint(bf16_bits(x)) << 16); }
inline float4 bf16_round(float4 x) { return float4(bf16_round(x.x), bf16_round(x.y), bf16_round(x.z), bf16_round(x.w)); }

inline void store1(device float *p, float v) { p[0] = v; }
inline void store1(device half *p, float v) { p[0] = half(v); }
inline void store1(device ushort *p, float v) { p[0] = bf16_bits(v); }
inline void store1(device int *p, int v) { p[0] = v; }
inline void store4(device int *p, int4 v) { *(device int4 *)p = v; }
inline void store4(device float *p, float4 v) { *(device float4 *)p = v; }
inline void store4(device half *p, float4 v) { *(device half4 *)p = half4(v); }
inline void store4(device ushort *p, float4 v)
{
    *(device ushort4 *)p = ushort4(bf16_bits(v.x), bf16_bits(v.y), bf16_bits(v.z), bf16_bits(v.w));
}
