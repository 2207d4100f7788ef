// inih (apt: libinih-dev).
#ifndef KEDGE_CINIH_SHIM_H
#define KEDGE_CINIH_SHIM_H
#include <ini.h>
#endif
