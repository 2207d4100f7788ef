#include "CDevice.h"

#include <errno.h>
#include <mtd/mtd-user.h>
#include <sys/ioctl.h>

int kedge_flash_info(int descriptor, uint64_t *size, uint32_t *erase_size) {
    struct mtd_info_user info;
    if (ioctl(descriptor, MEMGETINFO, &info) < 0) return -errno;
    *size = info.size;
    *erase_size = info.erasesize;
    if (info.type == MTD_NANDFLASH || info.type == MTD_MLCNANDFLASH) return 1;
    return 0;
}

int kedge_flash_erase(int descriptor, uint64_t offset, uint64_t size) {
    struct erase_info_user64 erase = {.start = offset, .length = size};
    return ioctl(descriptor, MEMERASE64, &erase) < 0 ? -errno : 0;
}
