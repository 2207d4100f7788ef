// Files that appear whole or not at all, and copying without the bytes passing through this process.
#define _GNU_SOURCE
#include "CDevice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int kedge_open_unnamed(const char *directory, uint32_t mode) {
    int fd;
    do fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, (mode_t)mode); while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

// open(2): /proc/self/fd is the way to give an unnamed file its name without CAP_DAC_READ_SEARCH.
int kedge_link_unnamed(int descriptor, const char *path) {
    char source[40];
    snprintf(source, sizeof source, "/proc/self/fd/%d", descriptor);
    return linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int64_t kedge_copy_range(int from, uint64_t from_offset, int to, uint64_t to_offset, size_t count) {
    off_t source = (off_t)from_offset, target = (off_t)to_offset;
    ssize_t n;
    do n = copy_file_range(from, &source, to, &target, count, 0); while (n < 0 && errno == EINTR);
    return n < 0 ? -(int64_t)errno : n;
}

int kedge_modified(int descriptor, int64_t *seconds, uint32_t *nanoseconds) {
    struct stat st;
    if (fstat(descriptor, &st) < 0) return -errno;
    *seconds = (int64_t)st.st_mtim.tv_sec;
    *nanoseconds = (uint32_t)st.st_mtim.tv_nsec;
    return 0;
}
