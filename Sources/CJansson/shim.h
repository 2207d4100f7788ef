// jansson (apt: libjansson-dev). json_decref is a static inline with atomics; it is wrapped for Swift.
#ifndef KEDGE_CJANSSON_SHIM_H
#define KEDGE_CJANSSON_SHIM_H
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static inline void kedge_json_release(json_t *value) { json_decref(value); }
static inline int kedge_json_kind(const json_t *value) { return (int)json_typeof(value); }
// A real number as JSON text: in the fewest digits of two precisions that read back as the same number, and as a real. `out`
// has at least 32 bytes.
static inline void kedge_json_real(const json_t *value, char *out) {
    double number = json_real_value(value);
    snprintf(out, 32, "%.15g", number);
    if (strtod(out, NULL) != number) snprintf(out, 32, "%.17g", number);
    if (strpbrk(out, ".e") == NULL) strcat(out, ".0");
}
#endif
