// libxxhash (apt: libxxhash-dev).
#ifndef KEDGE_CXXHASH_SHIM_H
#define KEDGE_CXXHASH_SHIM_H
#include <xxhash.h>
#endif
