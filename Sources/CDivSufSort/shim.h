// libdivsufsort (apt: libdivsufsort-dev), on the host only.
#ifndef KEDGE_CDIVSUFSORT_SHIM_H
#define KEDGE_CDIVSUFSORT_SHIM_H
#include <divsufsort.h>
#endif
