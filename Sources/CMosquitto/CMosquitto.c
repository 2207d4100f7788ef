// For POLLRDHUP.
#define _GNU_SOURCE
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

int kedge_mqtt_tls(void *handle, const char *authorities, const char *certificate, const char *key, const char *secret) {
    struct client *client = handle;
    struct mosquitto *mosquitto = client->mosquitto;
    if (secret) client->secret = strdup(secret);
    int code = MOSQ_ERR_SUCCESS;
    if (key && strncmp(key, "pkcs11:", 7) == 0) {
        code = library.mosquitto_string_option(mosquitto, MOSQ_OPT_TLS_ENGINE, "pkcs11");
        if (code == MOSQ_ERR_SUCCESS) code = library.mosquitto_string_option(mosquitto, MOSQ_OPT_TLS_KEYFORM, "engine");
        if (code != MOSQ_ERR_SUCCESS) return code;
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
int kedge_mqtt_tls(void *client, const char *a, const char *c, const char *k, const char *s) { return 1; }
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
