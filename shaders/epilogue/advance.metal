// Epilogue: the chosen token becomes the input of the next run.
//
// One thread of the kernel that makes the result `token` calls: ids[0] and
// step.token take the token, the run's T tokens become cached ones, and the next
// run has one token.
inline void advance_step(device Step *step, device int *ids, int token)
{
    ids[0] = token;
    step->token = token;
    step->P = step->P + step->T;
    step->T = 1u;
    step->S = step->P + 1u;
}
