// For POLLRDHUP.
#define _GNU_SOURCE
// Engines are deprecated, but what Debian 12 has for PKCS#11.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "CMosquitto.h"

#include <stdio.h>

#if defined(__has_include)
#if __has_include(<mosquitto.h>)
#define KEDGE_HAS_MOSQUITTO 1
#endif
#endif

#ifdef KEDGE_HAS_MOSQUITTO

#include <dlfcn.h>
#include <errno.h>
#include <mosquitto.h>
#include <openssl/engine.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

// The functions by the types that the header gives them, so that a changed prototype does not compile.
#define FUNCTIONS(X)                                                                                                   \
    X(mosquitto_lib_init)                                                                                              \
    X(mosquitto_new)                                                                                                   \
    X(mosquitto_destroy)                                                                                               \
    X(mosquitto_username_pw_set)                                                                                       \
    X(mosquitto_tls_set)                                                                                               \
    X(mosquitto_void_option)                                                                                           \
    X(mosquitto_int_option)                                                                                            \
    X(mosquitto_string_option)                                                                                         \
    X(mosquitto_connect_async)                                                                                         \
    X(mosquitto_socket)                                                                                                \
    X(mosquitto_loop)                                                                                                  \
    X(mosquitto_subscribe)                                                                                             \
    X(mosquitto_publish)                                                                                               \
    X(mosquitto_disconnect)                                                                                            \
    X(mosquitto_userdata)                                                                                              \
    X(mosquitto_connect_callback_set)                                                                                  \
    X(mosquitto_disconnect_callback_set)                                                                               \
    X(mosquitto_message_callback_set)                                                                                  \
    X(mosquitto_log_callback_set)                                                                                      \
    X(mosquitto_strerror)                                                                                              \
    X(mosquitto_connack_string)

static struct {
#define DECLARE(name) __typeof__(name) *name;
    FUNCTIONS(DECLARE)
#undef DECLARE
} library;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char missing[256];
static int loaded;

static void load(void) {
    void *handle = dlopen("libmosquitto.so.1", RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        const char *why = dlerror();
        snprintf(missing, sizeof missing, "%s", why ? why : "libmosquitto.so.1 cannot be loaded");
        return;
    }
#define FIND(name)                                                                                                     \
    *(void **)&library.name = dlsym(handle, #name);                                                                    \
    if (library.name == NULL) {                                                                                        \
        snprintf(missing, sizeof missing, "libmosquitto has no %s", #name);                                            \
        return;                                                                                                        \
    }
    FUNCTIONS(FIND)
#undef FIND
    library.mosquitto_lib_init();
    loaded = 1;
}

// More than any hub sends at once: it may have 50 messages of a device waiting.
#define INBOX_COUNT 64
// IoT Hub's largest message, 256 KB, and its topic.
#define MESSAGE_LIMIT (256 * 1024)
#define INBOX_BYTES (1024 * 1024)

struct item {
    struct item *next;
    int kind;
    int code;
    char *topic;
    uint8_t *payload;
    size_t length;
};

struct client {
    struct mosquitto *mosquitto;
    struct item *first, *last, *taken;
    int count;
    size_t bytes;
    int overflown;
    // Whether TCP and the hub's greeting are through, and the error number of the last failure.
    int is_open;
    int is_greeted;
    int failure;
    char *secret;
    char said[256];
    char text[512];
};

static void release(struct item *item) {
    if (item == NULL) return;
    free(item->topic);
    free(item->payload);
    free(item);
}

static void append(struct client *client, struct item *item) {
    if (client->last) client->last->next = item;
    else client->first = item;
    client->last = item;
    client->count++;
    client->bytes += item->length;
}

static void note(struct client *client, int kind, int code) {
    struct item *item = calloc(1, sizeof *item);
    if (item == NULL) abort();
    item->kind = kind;
    item->code = code;
    append(client, item);
}

static void on_connect(struct mosquitto *mosquitto, void *context, int code) {
    (void)mosquitto;
    ((struct client *)context)->is_greeted = 1;
    note(context, code == 0 ? KEDGE_MQTT_CONNECTED : KEDGE_MQTT_REFUSED, code);
}

static void on_disconnect(struct mosquitto *mosquitto, void *context, int code) {
    (void)mosquitto;
    note(context, KEDGE_MQTT_LOST, code);
}

static void on_message(struct mosquitto *mosquitto, void *context, const struct mosquitto_message *message) {
    (void)mosquitto;
    struct client *client = context;
    size_t length = message->payloadlen > 0 ? (size_t)message->payloadlen : 0;
    if (client->count >= INBOX_COUNT || length > MESSAGE_LIMIT || client->bytes + length > INBOX_BYTES) {
        client->overflown = 1;
        return;
    }
    struct item *item = calloc(1, sizeof *item);
    if (item == NULL) abort();
    item->kind = KEDGE_MQTT_MESSAGE;
    item->topic = strdup(message->topic);
    item->payload = malloc(length ? length : 1);
    if (item->topic == NULL || item->payload == NULL) abort();
    if (length) memcpy(item->payload, message->payload, length);
    item->length = length;
    append(client, item);
}

// Errors only: other lines carry topics and names.
static void on_log(struct mosquitto *mosquitto, void *context, int level, const char *text) {
    (void)mosquitto;
    struct client *client = context;
    if (level != MOSQ_LOG_ERR) return;
    snprintf(client->said, sizeof client->said, "%s", text);
}

static int passphrase(char *buffer, int size, int writes, void *mosquitto) {
    (void)writes;
    struct client *client = library.mosquitto_userdata(mosquitto);
    // Without a passphrase OpenSSL would ask on the terminal.
    if (client->secret == NULL) return 0;
    size_t length = strlen(client->secret);
    if (size < 0 || length > (size_t)size) return 0;
    memcpy(buffer, client->secret, length);
    return (int)length;
}

void *kedge_mqtt_new(const char *identifier, char *why, size_t capacity) {
    pthread_once(&once, load);
    if (!loaded) {
        snprintf(why, capacity, "%s", missing);
        return NULL;
    }
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL) abort();
    client->mosquitto = library.mosquitto_new(identifier, false, client);
    if (client->mosquitto == NULL) {
        snprintf(why, capacity, "libmosquitto takes no client id of this form");
        free(client);
        return NULL;
    }
    library.mosquitto_connect_callback_set(client->mosquitto, on_connect);
    library.mosquitto_disconnect_callback_set(client->mosquitto, on_disconnect);
    library.mosquitto_message_callback_set(client->mosquitto, on_message);
    library.mosquitto_log_callback_set(client->mosquitto, on_log);
    return client;
}

void kedge_mqtt_free(void *handle) {
    struct client *client = handle;
    if (client == NULL) return;
    library.mosquitto_destroy(client->mosquitto);
    release(client->taken);
    while (client->first) {
        struct item *item = client->first;
        client->first = item->next;
        release(item);
    }
    if (client->secret) {
        explicit_bzero(client->secret, strlen(client->secret));
        free(client->secret);
    }
    free(client);
}

int kedge_mqtt_login(void *handle, const char *user, const char *password) {
    return library.mosquitto_username_pw_set(((struct client *)handle)->mosquitto, user, password);
}

#ifndef OPENSSL_NO_ENGINE
// A context with the certificate, a key that stays in a token, and OpenSSL's own checks of the server: libmosquitto's way to
// engines opens the key's URI as if it were a file, and with its own checks a given context refuses every server (2.0.11).
// libmosquitto brought OpenSSL into the process already.
static int use_token(struct client *client, const char *host, const char *authorities, const char *certificate, const char *key,
                     const char *pin) {
    void *ssl = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
    void *crypto = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
    if (ssl == NULL || crypto == NULL) return MOSQ_ERR_NOT_SUPPORTED;
#define OPENSSL(name, from) __typeof__(name) *real_##name = (__typeof__(name) *)dlsym(from, #name)
    OPENSSL(ENGINE_by_id, crypto);
    OPENSSL(ENGINE_init, crypto);
    OPENSSL(ENGINE_free, crypto);
    OPENSSL(ENGINE_ctrl_cmd_string, crypto);
    OPENSSL(ENGINE_load_private_key, crypto);
    OPENSSL(EVP_PKEY_free, crypto);
    OPENSSL(TLS_client_method, ssl);
    OPENSSL(SSL_CTX_new, ssl);
    OPENSSL(SSL_CTX_free, ssl);
    OPENSSL(SSL_CTX_use_certificate_chain_file, ssl);
    OPENSSL(SSL_CTX_use_PrivateKey, ssl);
    OPENSSL(SSL_CTX_load_verify_locations, ssl);
    OPENSSL(SSL_CTX_set_default_verify_paths, ssl);
    OPENSSL(SSL_CTX_get0_param, ssl);
    OPENSSL(SSL_CTX_set_verify, ssl);
    OPENSSL(SSL_CTX_ctrl, ssl);
    OPENSSL(X509_VERIFY_PARAM_set1_host, crypto);
    OPENSSL(X509_VERIFY_PARAM_set1_ip_asc, crypto);
#undef OPENSSL
    if (!real_ENGINE_by_id || !real_ENGINE_init || !real_ENGINE_free || !real_ENGINE_ctrl_cmd_string ||
        !real_ENGINE_load_private_key || !real_EVP_PKEY_free || !real_TLS_client_method || !real_SSL_CTX_new || !real_SSL_CTX_free ||
        !real_SSL_CTX_use_certificate_chain_file || !real_SSL_CTX_use_PrivateKey ||
        !real_SSL_CTX_load_verify_locations || !real_SSL_CTX_set_default_verify_paths ||
        !real_SSL_CTX_get0_param || !real_SSL_CTX_set_verify || !real_SSL_CTX_ctrl ||
        !real_X509_VERIFY_PARAM_set1_host || !real_X509_VERIFY_PARAM_set1_ip_asc)
        return MOSQ_ERR_NOT_SUPPORTED;
    snprintf(client->said, sizeof client->said, "OpenSSL's engine pkcs11 cannot be used");
    // Never finished: the key needs it as long as it lives.
    static ENGINE *engine;
    if (engine == NULL) {
        ENGINE *found = real_ENGINE_by_id("pkcs11");
        if (found == NULL) return MOSQ_ERR_TLS;
        if (real_ENGINE_init(found) == 1) engine = found;
        else real_ENGINE_free(found);
        if (engine == NULL) return MOSQ_ERR_TLS;
    }
    snprintf(client->said, sizeof client->said, "the token has no such key, or the PIN is wrong");
    // Not in the URI, which the engine prints when it finds no key.
    if (pin && real_ENGINE_ctrl_cmd_string(engine, "PIN", pin, 0) != 1) return MOSQ_ERR_TLS;
    EVP_PKEY *private = real_ENGINE_load_private_key(engine, key, NULL, NULL);
    if (private == NULL) return MOSQ_ERR_TLS;
    snprintf(client->said, sizeof client->said, "the certificate cannot be used, or is not that of the token's key");
    int code = MOSQ_ERR_TLS;
    SSL_CTX *context = real_SSL_CTX_new(real_TLS_client_method());
    if (context && real_SSL_CTX_use_certificate_chain_file(context, certificate) == 1 &&
        real_SSL_CTX_use_PrivateKey(context, private) == 1 &&
        (authorities ? real_SSL_CTX_load_verify_locations(context, authorities, NULL)
                     : real_SSL_CTX_set_default_verify_paths(context)) == 1) {
        X509_VERIFY_PARAM *checks = real_SSL_CTX_get0_param(context);
        if (real_X509_VERIFY_PARAM_set1_ip_asc(checks, host) != 1) real_X509_VERIFY_PARAM_set1_host(checks, host, 0);
        real_SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        real_SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL);
        code = library.mosquitto_int_option(client->mosquitto, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0);
        // It takes a reference of its own.
        if (code == MOSQ_ERR_SUCCESS)
            code = library.mosquitto_void_option(client->mosquitto, MOSQ_OPT_SSL_CTX, context);
        if (code == MOSQ_ERR_SUCCESS) client->said[0] = 0;
    }
    real_EVP_PKEY_free(private);
    real_SSL_CTX_free(context);
    return code;
}
#else
static int use_token(struct client *client, const char *host, const char *authorities, const char *certificate,
                     const char *key, const char *pin) {
    (void)host; (void)authorities; (void)pin; (void)client; (void)certificate; (void)key;
    return MOSQ_ERR_NOT_SUPPORTED;
}
#endif

int kedge_mqtt_tls(void *handle, const char *host, const char *authorities, const char *certificate, const char *key,
                   const char *secret) {
    struct client *client = handle;
    struct mosquitto *mosquitto = client->mosquitto;
    if (secret) client->secret = strdup(secret);
    int code = MOSQ_ERR_SUCCESS;
    if (key && strncmp(key, "pkcs11:", 7) == 0) {
        return use_token(client, host, authorities, certificate, key, secret);
    }
    const char *directory = NULL;
    if (authorities == NULL) {
        code = library.mosquitto_int_option(mosquitto, MOSQ_OPT_TLS_USE_OS_CERTS, 1);
        if (code != MOSQ_ERR_SUCCESS || certificate == NULL) return code;
        // mosquitto_tls_set wants a place of authorities beside a certificate; Debian's, which OpenSSL reads anyway.
        directory = "/etc/ssl/certs";
    }
    return library.mosquitto_tls_set(mosquitto, authorities, directory, certificate, key, passphrase);
}

int kedge_mqtt_connect(void *handle, const char *host, int port, int keepalive) {
    struct client *client = handle;
    client->said[0] = 0;
    int code = library.mosquitto_connect_async(client->mosquitto, host, port, keepalive);
    client->failure = errno;
    return code;
}

int kedge_mqtt_turn(void *handle, int milliseconds) {
    struct client *client = handle;
    struct pollfd line = {.fd = library.mosquitto_socket(client->mosquitto), .events = POLLOUT};
    if (line.fd < 0) return MOSQ_ERR_NO_CONN;
    if (!client->is_open) {
        if (poll(&line, 1, milliseconds) <= 0) return MOSQ_ERR_SUCCESS;
        socklen_t length = sizeof client->failure;
        if (getsockopt(line.fd, SOL_SOCKET, SO_ERROR, &client->failure, &length) != 0) client->failure = errno;
        // libmosquitto tries TLS at once, which takes the error of a connection that was refused at once.
        if (client->failure == 0 && line.revents & (POLLHUP | POLLERR)) client->failure = ECONNREFUSED;
        if (client->failure != 0) return MOSQ_ERR_ERRNO;
        client->is_open = 1;
    }
    int code = library.mosquitto_loop(client->mosquitto, milliseconds, 1);
    client->failure = errno;
    if (code != MOSQ_ERR_SUCCESS || client->is_greeted) return code;
    // A line that ends within the handshake libmosquitto takes for one that goes on, and turns without a pause.
    int unread = 0;
    line.events = POLLRDHUP;
    if (poll(&line, 1, 0) > 0 && ioctl(line.fd, FIONREAD, &unread) == 0 && unread == 0 && client->first == NULL) {
        client->failure = ECONNRESET;
        return MOSQ_ERR_ERRNO;
    }
    return code;
}

int kedge_mqtt_subscribe(void *handle, const char *filter) {
    return library.mosquitto_subscribe(((struct client *)handle)->mosquitto, NULL, filter, 1);
}

int kedge_mqtt_publish(void *handle, const char *topic, const void *payload, int length) {
    return library.mosquitto_publish(((struct client *)handle)->mosquitto, NULL, topic, length, payload, 1, false);
}

int kedge_mqtt_disconnect(void *handle) {
    return library.mosquitto_disconnect(((struct client *)handle)->mosquitto);
}

int kedge_mqtt_next(void *handle, int *code, const char **topic, const uint8_t **payload, size_t *length) {
    struct client *client = handle;
    release(client->taken);
    client->taken = client->first;
    if (client->taken == NULL) {
        if (!client->overflown) return KEDGE_MQTT_NOTHING;
        client->overflown = 0;
        return KEDGE_MQTT_OVERFLOW;
    }
    client->first = client->taken->next;
    if (client->first == NULL) client->last = NULL;
    client->count--;
    client->bytes -= client->taken->length;
    *code = client->taken->code;
    *topic = client->taken->topic;
    *payload = client->taken->payload;
    *length = client->taken->length;
    return client->taken->kind;
}

const char *kedge_mqtt_text(void *handle, int code) {
    struct client *client = handle;
    const char *text = code == MOSQ_ERR_ERRNO ? strerror(client->failure) : library.mosquitto_strerror(code);
    // OpenSSL's own words say more than that there was an error.
    if (code == MOSQ_ERR_TLS && client->said[0]) return client->said;
    snprintf(
        client->text, sizeof client->text, "%s%s%s", text, client->said[0] ? ": " : "", client->said[0] ? client->said : "");
    return client->text;
}

int kedge_mqtt_is_tls(int code) { return code == MOSQ_ERR_TLS; }

#else

void *kedge_mqtt_new(const char *identifier, char *why, size_t capacity) {
    (void)identifier;
    snprintf(why, capacity, "this kedged was built without libmosquitto's header");
    return NULL;
}
void kedge_mqtt_free(void *client) { (void)client; }
int kedge_mqtt_login(void *client, const char *user, const char *password) { return 1; }
int kedge_mqtt_tls(void *client, const char *h, const char *a, const char *c, const char *k, const char *s) { return 1; }
int kedge_mqtt_connect(void *client, const char *host, int port, int keepalive) { return 1; }
int kedge_mqtt_turn(void *client, int milliseconds) { return 1; }
int kedge_mqtt_subscribe(void *client, const char *filter) { return 1; }
int kedge_mqtt_publish(void *client, const char *topic, const void *payload, int length) { return 1; }
int kedge_mqtt_disconnect(void *client) { return 1; }
int kedge_mqtt_next(void *client, int *code, const char **topic, const uint8_t **payload, size_t *length) {
    return KEDGE_MQTT_NOTHING;
}
const char *kedge_mqtt_text(void *client, int code) { return "no libmosquitto"; }
int kedge_mqtt_is_tls(int code) { return 0; }
#endif
