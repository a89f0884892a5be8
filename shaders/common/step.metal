// The step: 32 words that the host and all kernels of a plan share.
//
// T tokens of this run, P tokens cached before it, S = P + T. The kernel that
// chooses the next token writes token, adds T to P and sets T to 1, so that
// decode runs again without the host; counter is then the token's position, for
// which a random number is drawn. error holds the first refusal of a kernel
// (1: a token id outside the vocabulary, error_argument is the id;
// 2: logits that no token can be chosen from, error_argument is their row).
struct Step {
    uint T;
    uint P;
    uint S;
    int token;
    uint error;
    uint error_argument;
    float temperature;
    float top_k;
    float top_p;
    float min_p;
    float repetition;
    uint seed_low;
    uint seed_high;
    uint counter;
    uint reserved[18];
};

// The first words of the step: what a kernel that only needs to know where it
// stands binds, so that it does not meet one that reports an error.
struct Position {
    uint T;
    uint P;
    uint S;
};
