// jansson (apt: libjansson-dev). json_decref is a static inline with atomics; it is wrapped for Swift.
#ifndef KEDGE_CJANSSON_SHIM_H
#define KEDGE_CJANSSON_SHIM_H
#include <jansson.h>
static inline void kedge_json_release(json_t *value) { json_decref(value); }
static inline int kedge_json_kind(const json_t *value) { return (int)json_typeof(value); }
#endif
