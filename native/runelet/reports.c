#define _GNU_SOURCE
#include "reports.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exit_codes.h"
#include "pal.h"

_Static_assert(PAL_REPORT_SIZE <= NOTICE_TEXT_SIZE, "a notice has room for a report");

static bool refuse(struct notice *notice, const char *reason)
{
    *notice = (struct notice){.type = NOTICE_REFUSAL, .value = EXIT_NOT_ALLOWED};
    snprintf(notice->text, sizeof(notice->text), "%s", reason);
    return false;
}

bool make_report(int file, uint32_t size, struct notice *notice)
{
    _Alignas(512) char target[PAL_TARGETINFO_SIZE]; /* as EREPORT wants it, of which PALs may make it an operand */
    int length = PAL_REPORT_SIZE;
    *notice = (struct notice){.type = NOTICE_REPORT};
    if (size != sizeof(target) || pread(file, target, sizeof(target), 0) != (ssize_t)sizeof(target))
        return refuse(notice, "a request for a report is a TARGETINFO of 512 bytes");
    int error = pal_get_local_report(target, sizeof(target), notice->text, &length);
    if (error != 0) {
        const char *reason = pal_builtin_error();
        return refuse(notice, reason && *reason ? reason : strerror(error < 0 ? -error : error));
    }
    return length == PAL_REPORT_SIZE || refuse(notice, "the PAL has given a report of another size than 432 bytes");
}
