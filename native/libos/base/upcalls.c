#include "base/base.h"

struct base_upcalls base_upcalls;
