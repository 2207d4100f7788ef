// OpenSSL 3 libcrypto (apt: libssl-dev).
#ifndef KEDGE_COPENSSL_SHIM_H
#define KEDGE_COPENSSL_SHIM_H
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#endif
