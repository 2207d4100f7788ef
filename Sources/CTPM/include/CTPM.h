#ifndef CTPM_H
#define CTPM_H

#include <stddef.h>
#include <stdint.h>

// TPM 2.0 NV counters over tpm2-tss (ESYS, tctildr). Its headers are needed to build this with more than a refusal; its
// libraries are loaded by kedge_tpm_open and by nothing else, so that a device without a TPM neither ships them nor
// has them in memory.
//
// Results are TSS2_RC: 0 is success, anything else is a code of the TPM or of tpm2-tss.

// There is no such index.
#define KEDGE_TPM_MISSING 0x18bu
// The index exists, but is not a counter that kedge_tpm_counter_define made.
#define KEDGE_TPM_FOREIGN 0xfffffff1u
// The counter was defined, but never counted: its definition was interrupted.
#define KEDGE_TPM_UNBORN 0xfffffff2u
// The libraries or this build's knowledge of them are missing; `why` says which.
#define KEDGE_TPM_UNAVAILABLE 0xfffffff3u

// Connects to a TPM by a TCTI configuration such as "device:/dev/tpmrm0"; NULL with *code and a text otherwise.
void *kedge_tpm_open(const char *tcti, uint32_t *code, char *why, size_t capacity);
void kedge_tpm_close(void *tpm);

// The counter's value, and the one that it was defined to start from.
uint32_t kedge_tpm_counter_read(void *tpm, uint32_t index, uint64_t *base, uint64_t *value);
// Counts one up.
uint32_t kedge_tpm_counter_increment(void *tpm, uint32_t index);
// Defines the counter with the owner's password and lets it count to its base.
uint32_t kedge_tpm_counter_define(void *tpm, uint32_t index, const uint8_t *owner, size_t length);

#endif
