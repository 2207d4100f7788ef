// An MQTT 3.1.1 client over libmosquitto. The library is loaded by kedge_mqtt_new and by nothing else: a device that
// talks to no hub neither ships it nor has it in memory.
//
// One thread uses a client. What comes is kept in an inbox with a bound, and nothing calls back.
#ifndef CMOSQUITTO_H
#define CMOSQUITTO_H

#include <stddef.h>
#include <stdint.h>

// What kedge_mqtt_next gives.
#define KEDGE_MQTT_NOTHING 0
#define KEDGE_MQTT_CONNECTED 1
// The code is CONNACK's (MQTT 3.1.1, table 3.1).
#define KEDGE_MQTT_REFUSED 2
// The code is libmosquitto's.
#define KEDGE_MQTT_LOST 3
#define KEDGE_MQTT_MESSAGE 4
// Messages were thrown away, because nobody took the former ones.
#define KEDGE_MQTT_OVERFLOW 5

// A client with that id and no clean session; NULL and a reason when the library cannot be loaded.
void *kedge_mqtt_new(const char *identifier, char *why, size_t capacity);
void kedge_mqtt_free(void *client);

// Results are libmosquitto's codes (0 is success); kedge_mqtt_text tells them, with what TLS last said.
int kedge_mqtt_login(void *client, const char *user, const char *password);
// TLS with the authorities of a PEM file, or the system's for NULL; with a certificate and its key (PEM file, or a
// pkcs11: URI) for one's own name. `secret` is the key's passphrase or PIN, or NULL. The
// server must be `host`.
int kedge_mqtt_tls(void *client, const char *host, const char *authorities, const char *certificate, const char *key,
                   const char *secret);
// Resolves the name and begins to connect; the rest happens in turns.
int kedge_mqtt_connect(void *client, const char *host, int port, int keepalive);
// Waits at most so long for something to happen, and does what is due.
int kedge_mqtt_turn(void *client, int milliseconds);
int kedge_mqtt_subscribe(void *client, const char *filter);
int kedge_mqtt_publish(void *client, const char *topic, const void *payload, int length);
int kedge_mqtt_disconnect(void *client);

// Takes one event; topic and payload are good until the next call.
int kedge_mqtt_next(void *client, int *code, const char **topic, const uint8_t **payload, size_t *length);
// What a code means, and what TLS said since the last connection began; good until the next call.
const char *kedge_mqtt_text(void *client, int code);
// Whether the server's certificate was refused, or our own could not be used.
int kedge_mqtt_is_tls(int code);
#endif
