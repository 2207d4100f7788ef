// libzstd (apt: libzstd-dev). Static-workspace decoding is in the "static linking only" part of the header.
#ifndef KEDGE_CZSTD_SHIM_H
#define KEDGE_CZSTD_SHIM_H
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include <zstd_errors.h>
#endif
