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
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

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

// OpenSSL's macros of TLS, as functions; for the host only, which links libssl.

// A public RSA key, or NULL. In C because the builder keeps the pointers to the names of its parameters.
static inline EVP_PKEY *kedge_rsa_public(const unsigned char *modulus, size_t count, unsigned long exponent) {
    EVP_PKEY *key = NULL;
    OSSL_PARAM *parameters = NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *number = BN_bin2bn(modulus, (int)count, NULL);
    if (builder != NULL && context != NULL && number != NULL &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, number) == 1 &&
        OSSL_PARAM_BLD_push_ulong(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1) {
        parameters = OSSL_PARAM_BLD_to_param(builder);
        if (parameters == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
            EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1) key = NULL;
    }
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(context);
    BN_free(number);
    return key;
}

// A client may show no certificate, or one that nobody here signed: who it is, is decided later.
static inline int kedge_tls_accept_any(int ok, X509_STORE_CTX *store) {
    (void)ok; (void)store;
    return 1;
}

// A server's context, TLS 1.2 and newer, that asks clients for a certificate. NULL when a file cannot be used.
static inline SSL_CTX *kedge_tls_server(const char *chain, const char *key, const char *authorities) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) return NULL;
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, kedge_tls_accept_any);
    if (SSL_CTX_use_certificate_chain_file(context, chain) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_load_verify_locations(context, authorities, NULL) != 1) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

// One extension of a certificate by its OpenSSL name and text; 0 when it cannot be made.
static inline int kedge_x509_extend(X509 *certificate, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    if (extension == NULL) return 0;
    int done = X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return done;
}
#endif
