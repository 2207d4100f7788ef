#define _GNU_SOURCE
#include "CDevice.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

int kedge_duplicate(int descriptor) {
    int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    return copy < 0 ? -errno : copy;
}

uint32_t kedge_minute_of_day(int64_t seconds) {
    time_t when = (time_t)seconds;
    struct tm local;
    tzset();
    if (localtime_r(&when, &local) == NULL) return 0;
    return (uint32_t)(local.tm_hour * 60 + local.tm_min);
}
