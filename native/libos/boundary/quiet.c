#include "boundary/boundary.h"

#define MOMENT_NS 100000U

void quiet_note(struct quiet *quiet, bool is_known, uint64_t activity)
{
    *quiet = (struct quiet){.is_known = is_known, .activity = activity, .since = is_known ? clock_counter() : 0};
}

bool quiet_holds(const struct quiet *quiet)
{
    return quiet->is_known && quiet->activity == host_activity();
}

bool quiet_use(struct quiet *quiet)
{
    bool holds = quiet_holds(quiet);
    quiet->is_known = holds && quiet->since != 0 && clock_counter() - quiet->since < clock_ticks(MOMENT_NS);
    return holds;
}
