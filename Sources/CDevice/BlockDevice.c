#include "CDevice.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

int kedge_is_read_only(int descriptor) {
    int flag = 0;
    return ioctl(descriptor, BLKROGET, &flag) < 0 ? -errno : flag != 0;
}
