// libcurl (apt: libcurl4-openssl-dev). curl_easy_setopt and curl_easy_getinfo are variadic, which Swift cannot
// call: one typed inline function for each argument type.
#ifndef KEDGE_CCURL_SHIM_H
#define KEDGE_CCURL_SHIM_H
#include <curl/curl.h>
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
#endif
