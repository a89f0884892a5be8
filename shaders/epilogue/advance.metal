// Epilogue: the chosen token becomes the input of the next run.
//
// The threadgroup that makes the result `token` calls remember_ids with all its
// threads: the run's T ids take their places in history, int[limit], of which
// element i is the token at position i of the sequence. One thread calls
// advance_step: ids[0], step.token and history take the token, the run's T tokens
// become cached ones, and the next run has one token. Where T may be above 1, a
// barrier on device memory stands between the two. replace_token puts another token
// in the place of the one that a run has chosen. Positions from limit on are not
// written.
inline void remember_ids(device const Step *step, device const int *ids, device int *history, uint limit, uint thread_index, uint threads)
{
    const uint T = step->T, P = step->P;
    for (uint i = thread_index; i < T; i += threads)
        if (P + i < limit) history[P + i] = ids[i];
}

inline void replace_token(device Step *step, device int *ids, device int *history, uint limit, int token)
{
    ids[0] = token;
    step->token = token;
    if (step->P < limit) history[step->P] = token;
}

inline void advance_step(device Step *step, device int *ids, device int *history, uint limit, int token)
{
    const uint P = step->P + step->T;
    step->P = P;
    step->T = 1u;
    step->S = P + 1u;
    step->counter = P;
    replace_token(step, ids, history, limit, token);
}
