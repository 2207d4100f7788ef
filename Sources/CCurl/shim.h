// libcurl (apt: libcurl4-openssl-dev). curl_easy_setopt and curl_easy_getinfo are variadic, which Swift cannot
// call: one typed inline function for each argument type.
#ifndef KEDGE_CCURL_SHIM_H
#define KEDGE_CCURL_SHIM_H
#include "redirect.h"
#include <curl/curl.h>
#include <fcntl.h>
#include <pthread.h>
static inline CURLcode kedge_curl_set_long(CURL *h, CURLoption o, long v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode kedge_curl_set_offset(CURL *h, CURLoption o, curl_off_t v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode kedge_curl_set_string(CURL *h, CURLoption o, const char *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode kedge_curl_set_pointer(CURL *h, CURLoption o, void *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode kedge_curl_set_list(CURL *h, CURLoption o, struct curl_slist *v) {
    return curl_easy_setopt(h, o, v);
}
typedef size_t (*kedge_curl_data_function)(char *, size_t, size_t, void *);
static inline CURLcode kedge_curl_set_data_function(CURL *h, CURLoption o, kedge_curl_data_function f) {
    return curl_easy_setopt(h, o, f);
}
typedef int (*kedge_curl_progress_function)(void *, curl_off_t, curl_off_t, curl_off_t, curl_off_t);
static inline CURLcode kedge_curl_set_progress_function(CURL *h, kedge_curl_progress_function f) {
    return curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, f);
}
static inline CURLcode kedge_curl_get_long(CURL *h, CURLINFO i, long *v) { return curl_easy_getinfo(h, i, v); }
static inline CURLcode kedge_curl_get_offset(CURL *h, CURLINFO i, curl_off_t *v) { return curl_easy_getinfo(h, i, v); }
static inline CURLcode kedge_curl_get_string(CURL *h, CURLINFO i, char **v) { return curl_easy_getinfo(h, i, v); }
// CURL_GLOBAL_ALL is an expression macro, which Swift does not import.
static inline CURLcode kedge_curl_start(void) { return curl_global_init(CURL_GLOBAL_ALL); }
typedef int (*kedge_curl_connected_function)(void *, char *, char *, int, int);
// Called when a connection stands (new or re-used), before the request goes out. Since libcurl 7.80.
static inline CURLcode kedge_curl_set_connected_function(CURL *h, kedge_curl_connected_function f) {
    return curl_easy_setopt(h, CURLOPT_PREREQFUNCTION, f);
}
// Limits the schemes of the first address and of redirects, as comma separated names. libcurl 7.85 replaced the
// bit masks by names; Yocto kirkstone still has 7.82.
static inline CURLcode kedge_curl_set_schemes(CURL *h, int first_http, int redirect_http) {
#if LIBCURL_VERSION_NUM >= 0x075500
    CURLcode c = curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, first_http ? "http,https" : "https");
    if (c != CURLE_OK) return c;
    return curl_easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, redirect_http ? "http,https" : "https");
#else
    long s = CURLPROTO_HTTPS, b = CURLPROTO_HTTP | CURLPROTO_HTTPS;
    CURLcode c = curl_easy_setopt(h, CURLOPT_PROTOCOLS, first_http ? b : s);
    if (c != CURLE_OK) return c;
    return curl_easy_setopt(h, CURLOPT_REDIR_PROTOCOLS, redirect_http ? b : s);
#endif
}
// Keeps connections out of the programs that the service starts; libcurl opens sockets without
// SOCK_CLOEXEC.
static inline int kedge_curl_close_on_exec(void *context, curl_socket_t s, curlsocktype purpose) {
    (void)context;
    (void)purpose;
    return fcntl(s, F_SETFD, FD_CLOEXEC) < 0 ? CURL_SOCKOPT_ERROR : CURL_SOCKOPT_OK;
}
static inline CURLcode kedge_curl_set_close_on_exec(CURL *h) {
    return curl_easy_setopt(h, CURLOPT_SOCKOPTFUNCTION, kedge_curl_close_on_exec);
}
// Lets a transfer be dropped while the resolver's thread still waits for an answer (libcurl 7.87); an older one
// waits for the resolver's own time-out.
static inline CURLcode kedge_curl_set_quick_exit(CURL *h) {
#if LIBCURL_VERSION_NUM >= 0x075700
    return curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L);
#else
    (void)h;
    return CURLE_OK;
#endif
}
// A transfer that ended, and its result; 0 when none did. CURLMsg keeps it in a union.
static inline int kedge_curl_next_result(CURLM *m, CURL **handle, CURLcode *result) {
    int left = 0;
    CURLMsg *message;
    while ((message = curl_multi_info_read(m, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            *handle = message->easy_handle;
            *result = message->data.result;
            return 1;
        }
    }
    return 0;
}
// Each transfer on a connection of its own: a paused stream would hold all others of its connection back.
static inline CURLMcode kedge_curl_set_single(CURLM *m) {
    return curl_multi_setopt(m, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
}
// What a write callback answers to be called again later with the same bytes.
static inline size_t kedge_curl_later(void) { return CURL_WRITEFUNC_PAUSE; }
static inline CURLcode kedge_curl_go_on(CURL *h) { return curl_easy_pause(h, CURLPAUSE_CONT); }
// Which thread runs: debug builds let one thread's calls fail (CurlCall.swift).
static inline unsigned long kedge_curl_thread(void) { return (unsigned long)pthread_self(); }
// Gives the token's key to OpenSSL. An engine is what libcurl knows since 7.9; 8.12 and newer also take an OpenSSL
// provider, the only way where libcurl or OpenSSL were built without engines.
static inline CURLcode kedge_curl_set_token(CURL *h, int certificate, int key) {
    const char *type = "ENG";
    CURLcode c = curl_easy_setopt(h, CURLOPT_SSLENGINE, "pkcs11");
    if (c != CURLE_OK) {
        if (curl_version_info(CURLVERSION_NOW)->version_num < 0x080c00) return c;
        type = "PROV";
    }
    if (certificate && (c = curl_easy_setopt(h, CURLOPT_SSLCERTTYPE, type)) != CURLE_OK) return c;
    return key ? curl_easy_setopt(h, CURLOPT_SSLKEYTYPE, type) : CURLE_OK;
}
// Basic for name and password, bearer for a token; never what a server asks for instead.
static inline CURLcode kedge_curl_set_authentication(CURL *h, int bearer) {
    return curl_easy_setopt(h, CURLOPT_HTTPAUTH, bearer ? CURLAUTH_BEARER : CURLAUTH_BASIC);
}
#endif
