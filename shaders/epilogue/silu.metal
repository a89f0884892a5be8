// Epilogue: silu(x) = x / (1 + exp(-x)), for float and float4.
template <typename V>
inline V silu(V x)
{
    return x / (V(1.0f) + exp(-x));
}
