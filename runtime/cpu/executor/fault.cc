// Signals of a faulting kernel become reports; all others go where they went
// before, which in a Go program is Go's own handler.
namespace {

struct sigaction previous_segv, previous_bus, previous_fpe, previous_ill;

#if defined(__APPLE__)
#if defined(__x86_64__)
uintptr_t stack_pointer(const ucontext_t* u) { return (uintptr_t)u->uc_mcontext->__ss.__rsp; }
void go_on_at(ucontext_t* u, const foundry_context* to) {
    u->uc_mcontext->__ss.__rsp = (uint64_t)to->sp;
    u->uc_mcontext->__ss.__rbp = (uint64_t)to->fp;
    u->uc_mcontext->__ss.__rip = (uint64_t)to->pc;
}
#else
uintptr_t stack_pointer(const ucontext_t* u) { return (uintptr_t)__darwin_arm_thread_state64_get_sp(u->uc_mcontext->__ss); }
void go_on_at(ucontext_t* u, const foundry_context* to) {
    __darwin_arm_thread_state64_set_sp(u->uc_mcontext->__ss, (uintptr_t)to->sp);
    __darwin_arm_thread_state64_set_fp(u->uc_mcontext->__ss, (uintptr_t)to->fp);
    __darwin_arm_thread_state64_set_pc_fptr(u->uc_mcontext->__ss, to->pc);
}
#endif
#elif defined(__x86_64__)
uintptr_t stack_pointer(const ucontext_t* u) { return (uintptr_t)u->uc_mcontext.gregs[REG_RSP]; }
void go_on_at(ucontext_t* u, const foundry_context* to) {
    u->uc_mcontext.gregs[REG_RSP] = (greg_t)to->sp;
    u->uc_mcontext.gregs[REG_RBP] = (greg_t)to->fp;
    u->uc_mcontext.gregs[REG_RIP] = (greg_t)to->pc;
}
#else
uintptr_t stack_pointer(const ucontext_t* u) { return (uintptr_t)u->uc_mcontext.sp; }
void go_on_at(ucontext_t* u, const foundry_context* to) {
    u->uc_mcontext.sp = (uintptr_t)to->sp;
    u->uc_mcontext.regs[29] = (uintptr_t)to->fp;
    u->uc_mcontext.pc = (uintptr_t)to->pc;
}
#endif

void forward(int signal, siginfo_t* info, void* context) {
    const struct sigaction* p = signal == SIGSEGV ? &previous_segv : signal == SIGBUS ? &previous_bus : signal == SIGFPE ? &previous_fpe : &previous_ill;
    if (p->sa_flags & SA_SIGINFO) p->sa_sigaction(signal, info, context);
    else if (p->sa_handler == SIG_DFL) sigaction(signal, p, nullptr);  // the instruction faults again
    else if (p->sa_handler != SIG_IGN) p->sa_handler(signal);
}

bool is_stack_guard(const Region* r, uintptr_t address) {
    const uintptr_t below = (uintptr_t)r + FOUNDRY_REGION - 1 - address;  // the region's end
    return below < kThreadsMax * stack_distance() && below % stack_distance() >= FOUNDRY_STACK;
}

// A thread runs on its fiber's stack only while it runs a kernel, so the stack
// pointer tells whose fault it is.
void on_fault(int signal, siginfo_t* info, void* context) {
    ucontext_t* u = (ucontext_t*)context;
    Region* r = region_of(stack_pointer(u));
    if (!r) {
        forward(signal, info, context);
        return;
    }
    Report report;
    memset(&report, 0, sizeof report);
    report.thread = r->group.current->thread;
    report.address = (uintptr_t)info->si_addr;
    report.what = signal == SIGFPE ? kArithmetic : signal == SIGILL ? kIllegal : is_stack_guard(r, report.address) ? kStackOverflow : kFault;
    r->report = report;
    go_on_at(u, &r->group.host);
}

void install_handlers() {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    // As Go's own handlers: nothing else interrupts one.
    sigfillset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &previous_segv);
    sigaction(SIGBUS, &action, &previous_bus);
    sigaction(SIGFPE, &action, &previous_fpe);
    sigaction(SIGILL, &action, &previous_ill);
}

}  // namespace
