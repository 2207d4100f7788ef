#define _GNU_SOURCE
#include "CDevice.h"

#include <errno.h>
#include <unistd.h>

int64_t kedge_readlink(const char *path, char *target, size_t capacity) {
    ssize_t n = readlink(path, target, capacity);
    return n < 0 ? -errno : n;
}
