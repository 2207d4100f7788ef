// OpenSSL 3 libcrypto (apt: libssl-dev).
#ifndef KEDGE_COPENSSL_SHIM_H
#define KEDGE_COPENSSL_SHIM_H
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

// Why a key of a token cannot be used.
enum { KEDGE_TOKEN_ENGINE = 1, KEDGE_TOKEN_MODULE = 2, KEDGE_TOKEN_PIN = 3, KEDGE_TOKEN_KEY = 4 };

// The private key of a PKCS#11 URI, by OpenSSL's engine "pkcs11"; NULL and a reason when there is none. The engine is
// never unloaded: the key needs it as long as it lives. In C because OpenSSL 3 marks all of its engine functions.
static inline EVP_PKEY *kedge_token_key(const char *uri, const char *module, const char *pin, int *reason) {
    *reason = KEDGE_TOKEN_ENGINE;
#ifdef OPENSSL_NO_ENGINE
    (void)uri; (void)module; (void)pin;
    return NULL;
#else
    ENGINE *engine = ENGINE_by_id("pkcs11");
    if (engine == NULL) return NULL;
    EVP_PKEY *key = NULL;
    *reason = KEDGE_TOKEN_MODULE;
    if (module == NULL || ENGINE_ctrl_cmd_string(engine, "MODULE_PATH", module, 0) == 1) {
        if (ENGINE_init(engine) == 1) {
            *reason = KEDGE_TOKEN_PIN;
            if (ENGINE_ctrl_cmd_string(engine, "PIN", pin, 0) == 1) {
                *reason = KEDGE_TOKEN_KEY;
                key = ENGINE_load_private_key(engine, uri, NULL, NULL);
            }
            if (key == NULL) ENGINE_finish(engine);
        }
    }
    ENGINE_free(engine);
    return key;
#endif
}
#endif
