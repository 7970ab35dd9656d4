#include "base/base.h"

#define SPINS_BEFORE_YIELD 200

void spin_lock_contended(struct spinlock *lock)
{
    for (unsigned spins = 0; __atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE); spins++) {
        if (spins < SPINS_BEFORE_YIELD) {
            __builtin_ia32_pause();
        } else {
            base_upcalls.yield();
        }
    }
}
