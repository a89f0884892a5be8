// Phases of a kernel.
//
// A kernel first loads what no earlier dispatch of the step writes (weights),
// then meets the ready point, and only then reads what other dispatches wrote.
// The ready point is nothing on Metal, where the encoder's barriers order
// dispatches; an executor that starts a kernel before its predecessor has ended
// defines FOUNDRY_READY as the wait.
#ifndef FOUNDRY_READY
#define FOUNDRY_READY()
#endif
#ifndef FOUNDRY_UNROLL
#define FOUNDRY_UNROLL _Pragma("unroll")
#endif
// Loops over tiles, whose arrays must end up in registers where a tile lies in
// registers; an executor that keeps tiles in memory defines it as nothing.
#ifndef FOUNDRY_UNROLL_TILES
#define FOUNDRY_UNROLL_TILES FOUNDRY_UNROLL
#endif
