#include "CTPM.h"

#include <stdio.h>

#if defined(__has_include)
#if __has_include(<tss2/tss2_esys.h>) && __has_include(<tss2/tss2_tctildr.h>)
#define KEDGE_HAS_TSS 1
#endif
#endif

#ifdef KEDGE_HAS_TSS

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

// The functions by the types that the headers give them, so that a changed prototype does not compile.
#define FUNCTIONS(X)                                                                                                   \
    X(esys, Esys_Initialize)                                                                                           \
    X(esys, Esys_Finalize)                                                                                             \
    X(esys, Esys_Free)                                                                                                 \
    X(esys, Esys_TR_FromTPMPublic)                                                                                     \
    X(esys, Esys_TR_SetAuth)                                                                                           \
    X(esys, Esys_TR_Close)                                                                                             \
    X(esys, Esys_NV_ReadPublic)                                                                                        \
    X(esys, Esys_NV_Read)                                                                                              \
    X(esys, Esys_NV_Increment)                                                                                         \
    X(esys, Esys_NV_DefineSpace)                                                                                       \
    X(esys, Esys_NV_UndefineSpace)                                                                                     \
    X(loader, Tss2_TctiLdr_Initialize)                                                                                 \
    X(loader, Tss2_TctiLdr_Finalize)

struct tpm {
    void *esys;
    void *loader;
    TSS2_TCTI_CONTEXT *tcti;
    ESYS_CONTEXT *context;
#define DECLARE(library, name) __typeof__(name) *name;
    FUNCTIONS(DECLARE)
#undef DECLARE
};

// A counter that is written, counted up and read by whoever may talk to the TPM, and removed by the owner alone. No
// dictionary attack logic, or wrong passwords for other things would lock it.
#define ATTRIBUTES                                                                                                     \
    ((TPMA_NV)(TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT) | TPMA_NV_AUTHWRITE | TPMA_NV_AUTHREAD | TPMA_NV_NO_DA)

// What stands before the base in the index's policy. No policy session can ever satisfy it (it is the digest of
// nothing), and none is allowed: the field is used because it belongs to the index's name and can never change.
static const char mark[] = "kedge floor counter base";
#define MARK_LENGTH (sizeof mark - 1)
_Static_assert(MARK_LENGTH + 8 == 32, "mark and base together have the length of SHA-256");

static uint64_t big_endian(const BYTE *bytes) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value = value << 8 | bytes[i];
    return value;
}

static int load(struct tpm *tpm, char *why, size_t capacity) {
    // Errors are returned; the library's own lines on standard error would only be noise. Whoever sets it keeps it.
    setenv("TSS2_LOG", "all+none", 0);
    tpm->esys = dlopen("libtss2-esys.so.0", RTLD_NOW | RTLD_LOCAL);
    if (tpm->esys) tpm->loader = dlopen("libtss2-tctildr.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!tpm->esys || !tpm->loader) {
        const char *reason = dlerror();
        snprintf(why, capacity, "%s", reason ? reason : "tpm2-tss cannot be loaded");
        return 0;
    }
#define FIND(library, name)                                                                                            \
    *(void **)&tpm->name = dlsym(tpm->library, #name);                                                                 \
    if (!tpm->name) {                                                                                                  \
        snprintf(why, capacity, "tpm2-tss has no %s", #name);                                                          \
        return 0;                                                                                                      \
    }
    FUNCTIONS(FIND)
#undef FIND
    return 1;
}

void kedge_tpm_close(void *handle) {
    struct tpm *tpm = handle;
    if (!tpm) return;
    if (tpm->context) tpm->Esys_Finalize(&tpm->context);
    if (tpm->tcti) tpm->Tss2_TctiLdr_Finalize(&tpm->tcti);
    if (tpm->loader) dlclose(tpm->loader);
    if (tpm->esys) dlclose(tpm->esys);
    free(tpm);
}

void *kedge_tpm_open(const char *tcti, uint32_t *code, char *why, size_t capacity) {
    struct tpm *tpm = calloc(1, sizeof *tpm);
    *code = KEDGE_TPM_UNAVAILABLE;
    snprintf(why, capacity, "no memory");
    if (!tpm) return NULL;
    if (load(tpm, why, capacity)) {
        snprintf(why, capacity, "no TPM answers at %s", tcti);
        *code = tpm->Tss2_TctiLdr_Initialize(tcti, &tpm->tcti);
        if (*code == TSS2_RC_SUCCESS) *code = tpm->Esys_Initialize(&tpm->context, tpm->tcti, NULL);
        if (*code == TSS2_RC_SUCCESS) return tpm;
    }
    kedge_tpm_close(tpm);
    return NULL;
}

static TSS2_RC find(struct tpm *tpm, uint32_t index, ESYS_TR *object) {
    return tpm->Esys_TR_FromTPMPublic(tpm->context, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, object);
}

// Only an index that is exactly what was defined counts: an ordinary one could be written back.
static TSS2_RC check(struct tpm *tpm, ESYS_TR object, uint64_t *base, int *written) {
    TPM2B_NV_PUBLIC *found = NULL;
    TSS2_RC code = tpm->Esys_NV_ReadPublic(
        tpm->context, object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &found, NULL);
    if (code != TSS2_RC_SUCCESS) return code;
    const TPMS_NV_PUBLIC *nv = &found->nvPublic;
    *written = (nv->attributes & TPMA_NV_WRITTEN) != 0;
    if ((nv->attributes & ~(TPMA_NV)TPMA_NV_WRITTEN) != ATTRIBUTES || nv->dataSize != 8 ||
        nv->nameAlg != TPM2_ALG_SHA256 || nv->authPolicy.size != MARK_LENGTH + 8 ||
        memcmp(nv->authPolicy.buffer, mark, MARK_LENGTH) != 0) {
        code = KEDGE_TPM_FOREIGN;
    } else {
        *base = big_endian(nv->authPolicy.buffer + MARK_LENGTH);
    }
    tpm->Esys_Free(found);
    return code;
}

static TSS2_RC read_value(struct tpm *tpm, ESYS_TR object, uint64_t *value) {
    TPM2B_MAX_NV_BUFFER *data = NULL;
    TSS2_RC code = tpm->Esys_NV_Read(
        tpm->context, object, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, 8, 0, &data);
    if (code != TSS2_RC_SUCCESS) return code;
    if (data->size == 8) *value = big_endian(data->buffer);
    else code = KEDGE_TPM_FOREIGN;
    tpm->Esys_Free(data);
    return code;
}

static TSS2_RC increment(struct tpm *tpm, ESYS_TR object) {
    return tpm->Esys_NV_Increment(tpm->context, object, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE);
}

uint32_t kedge_tpm_counter_read(void *handle, uint32_t index, uint64_t *base, uint64_t *value) {
    struct tpm *tpm = handle;
    ESYS_TR object;
    int written = 0;
    TSS2_RC code = find(tpm, index, &object);
    if (code != TSS2_RC_SUCCESS) return code;
    code = check(tpm, object, base, &written);
    if (code == TSS2_RC_SUCCESS && !written) code = KEDGE_TPM_UNBORN;
    if (code == TSS2_RC_SUCCESS) code = read_value(tpm, object, value);
    // A counter never stands before the value that it started from.
    if (code == TSS2_RC_SUCCESS && *value < *base) code = KEDGE_TPM_FOREIGN;
    tpm->Esys_TR_Close(tpm->context, &object);
    return code;
}

uint32_t kedge_tpm_counter_increment(void *handle, uint32_t index) {
    struct tpm *tpm = handle;
    ESYS_TR object;
    TSS2_RC code = find(tpm, index, &object);
    if (code != TSS2_RC_SUCCESS) return code;
    code = increment(tpm, object);
    tpm->Esys_TR_Close(tpm->context, &object);
    return code;
}

static TSS2_RC define(struct tpm *tpm, uint32_t index, uint64_t base, ESYS_TR *object) {
    TPM2B_AUTH empty = {.size = 0};
    TPM2B_NV_PUBLIC wanted = {.size = 0};
    wanted.nvPublic.nvIndex = index;
    wanted.nvPublic.nameAlg = TPM2_ALG_SHA256;
    wanted.nvPublic.attributes = ATTRIBUTES;
    wanted.nvPublic.dataSize = 8;
    wanted.nvPublic.authPolicy.size = MARK_LENGTH + 8;
    memcpy(wanted.nvPublic.authPolicy.buffer, mark, MARK_LENGTH);
    for (int i = 0; i < 8; i++) wanted.nvPublic.authPolicy.buffer[MARK_LENGTH + i] = (BYTE)(base >> (56 - 8 * i));
    return tpm->Esys_NV_DefineSpace(
        tpm->context, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &empty, &wanted, object);
}

static TSS2_RC undefine(struct tpm *tpm, ESYS_TR object) {
    return tpm->Esys_NV_UndefineSpace(
        tpm->context, ESYS_TR_RH_OWNER, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE);
}

// A new counter starts one above the highest value that any counter of this TPM ever had (TPM 2.0 part 3, section
// 31.8), which nobody can ask for. So a first one is counted once to learn it, and the lasting one is defined with
// what follows as its base.
uint32_t kedge_tpm_counter_define(void *handle, uint32_t index, const uint8_t *owner, size_t length) {
    struct tpm *tpm = handle;
    TPM2B_AUTH password = {.size = 0};
    if (length > sizeof password.buffer) return TSS2_ESYS_RC_BAD_SIZE;
    password.size = (UINT16)length;
    memcpy(password.buffer, owner, length);
    TSS2_RC code = tpm->Esys_TR_SetAuth(tpm->context, ESYS_TR_RH_OWNER, &password);
    ESYS_TR object;
    uint64_t base = 0, value = 0;
    int written = 0;
    if (code == TSS2_RC_SUCCESS && find(tpm, index, &object) == TSS2_RC_SUCCESS) {
        // What an interruption left is begun again; anything else stays.
        code = check(tpm, object, &base, &written);
        if (code != TSS2_RC_SUCCESS || (written && base != 0)) {
            tpm->Esys_TR_Close(tpm->context, &object);
            return code;
        }
        code = undefine(tpm, object);
    }
    for (int attempt = 0; code == TSS2_RC_SUCCESS && attempt < 4; attempt++) {
        base = attempt == 0 ? 0 : value + 1;
        code = define(tpm, index, base, &object);
        if (code == TSS2_RC_SUCCESS) code = increment(tpm, object);
        if (code == TSS2_RC_SUCCESS) code = read_value(tpm, object, &value);
        if (code == TSS2_RC_SUCCESS && attempt > 0 && value == base) {
            tpm->Esys_TR_Close(tpm->context, &object);
            return code;
        }
        if (code == TSS2_RC_SUCCESS) code = undefine(tpm, object);
    }
    return code == TSS2_RC_SUCCESS ? TSS2_ESYS_RC_TRY_AGAIN : code;
}

#else

void *kedge_tpm_open(const char *tcti, uint32_t *code, char *why, size_t capacity) {
    (void)tcti;
    *code = KEDGE_TPM_UNAVAILABLE;
    snprintf(why, capacity, "this kedged was built without tpm2-tss");
    return NULL;
}
void kedge_tpm_close(void *tpm) { (void)tpm; }
uint32_t kedge_tpm_counter_read(void *tpm, uint32_t index, uint64_t *base, uint64_t *value) {
    (void)tpm, (void)index, (void)base, (void)value;
    return KEDGE_TPM_UNAVAILABLE;
}
uint32_t kedge_tpm_counter_increment(void *tpm, uint32_t index) {
    (void)tpm, (void)index;
    return KEDGE_TPM_UNAVAILABLE;
}
uint32_t kedge_tpm_counter_define(void *tpm, uint32_t index, const uint8_t *owner, size_t length) {
    (void)tpm, (void)index, (void)owner, (void)length;
    return KEDGE_TPM_UNAVAILABLE;
}

#endif
