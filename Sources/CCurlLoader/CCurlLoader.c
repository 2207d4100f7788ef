// libcurl, loaded when it is first needed. Its start-up costs about 5 MiB of resident memory (some forty shared
// libraries of TLS, Kerberos, LDAP and SSH), which an installation from a local file, `kedged status` and a daemon that
// waits for its next order should not pay.
//
// The functions here have libcurl's own signatures under other names; CCurl's redirect.h points its declarations at
// them. Where the library cannot be loaded they fail as libcurl itself does, and the text of the error says why.
#include "CCurlLoader.h"

// Without libcurl's macros of the same names, which check the types of arguments.
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

static char kedge_curl_missing[256] = "libcurl.so.4 cannot be loaded";
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int loaded;

static CURL *(*real_curl_easy_init)(void);
static void (*real_curl_easy_cleanup)(CURL *);
static const char *(*real_curl_easy_strerror)(CURLcode);
static void (*real_curl_free)(void *);
static CURLcode (*real_curl_global_init)(long);
static CURLM *(*real_curl_multi_init)(void);
static CURLMcode (*real_curl_multi_add_handle)(CURLM *, CURL *);
static CURLMcode (*real_curl_multi_remove_handle)(CURLM *, CURL *);
static CURLMcode (*real_curl_multi_perform)(CURLM *, int *);
static CURLMcode (*real_curl_multi_poll)(CURLM *, struct curl_waitfd *, unsigned int, int, int *);
static CURLMcode (*real_curl_multi_wakeup)(CURLM *);
static CURLMcode (*real_curl_multi_cleanup)(CURLM *);
static CURLMsg *(*real_curl_multi_info_read)(CURLM *, int *);
static const char *(*real_curl_multi_strerror)(CURLMcode);
static struct curl_slist *(*real_curl_slist_append)(struct curl_slist *, const char *);
static void (*real_curl_slist_free_all)(struct curl_slist *);
static CURLU *(*real_curl_url)(void);
static void (*real_curl_url_cleanup)(CURLU *);
static CURLUcode (*real_curl_url_get)(const CURLU *, CURLUPart, char **, unsigned int);
static CURLUcode (*real_curl_url_set)(CURLU *, CURLUPart, const char *, unsigned int);
static const char *(*real_curl_url_strerror)(CURLUcode);
static curl_version_info_data *(*real_curl_version_info)(CURLversion);
static CURLcode (*real_curl_easy_pause)(CURL *, int);
static CURLMcode (*real_curl_multi_setopt)(CURLM *, CURLMoption, ...);
static CURLcode (*real_curl_easy_setopt)(CURL *, CURLoption, ...);
static CURLcode (*real_curl_easy_getinfo)(CURL *, CURLINFO, ...);

static void load(void) {
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *why = dlerror();
        snprintf(kedge_curl_missing, sizeof kedge_curl_missing, "libcurl cannot be loaded: %s", why ? why : "dlopen");
        return;
    }
    struct {
        const char *name;
        void **place;
    } symbols[] = {
        {"curl_easy_init", (void **)&real_curl_easy_init},
        {"curl_easy_cleanup", (void **)&real_curl_easy_cleanup},
        {"curl_easy_strerror", (void **)&real_curl_easy_strerror},
        {"curl_free", (void **)&real_curl_free},
        {"curl_global_init", (void **)&real_curl_global_init},
        {"curl_multi_init", (void **)&real_curl_multi_init},
        {"curl_multi_add_handle", (void **)&real_curl_multi_add_handle},
        {"curl_multi_remove_handle", (void **)&real_curl_multi_remove_handle},
        {"curl_multi_perform", (void **)&real_curl_multi_perform},
        {"curl_multi_poll", (void **)&real_curl_multi_poll},
        {"curl_multi_wakeup", (void **)&real_curl_multi_wakeup},
        {"curl_multi_cleanup", (void **)&real_curl_multi_cleanup},
        {"curl_multi_info_read", (void **)&real_curl_multi_info_read},
        {"curl_multi_strerror", (void **)&real_curl_multi_strerror},
        {"curl_slist_append", (void **)&real_curl_slist_append},
        {"curl_slist_free_all", (void **)&real_curl_slist_free_all},
        {"curl_url", (void **)&real_curl_url},
        {"curl_url_cleanup", (void **)&real_curl_url_cleanup},
        {"curl_url_get", (void **)&real_curl_url_get},
        {"curl_url_set", (void **)&real_curl_url_set},
        {"curl_url_strerror", (void **)&real_curl_url_strerror},
        {"curl_version_info", (void **)&real_curl_version_info},
        {"curl_easy_pause", (void **)&real_curl_easy_pause},
        {"curl_multi_setopt", (void **)&real_curl_multi_setopt},
        {"curl_easy_setopt", (void **)&real_curl_easy_setopt},
        {"curl_easy_getinfo", (void **)&real_curl_easy_getinfo},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        *symbols[i].place = dlsym(library, symbols[i].name);
        if (*symbols[i].place == NULL) {
            snprintf(kedge_curl_missing, sizeof kedge_curl_missing, "libcurl has no %s", symbols[i].name);
            return;
        }
    }
    loaded = 1;
}

static int ready(void) {
    pthread_once(&once, load);
    return loaded;
}

int kedge_curl_is_loaded(void) { return loaded; }

CURL *kedge_lazy_curl_easy_init(void) { return ready() ? real_curl_easy_init() : NULL; }
void kedge_lazy_curl_easy_cleanup(CURL *h) { if (ready()) real_curl_easy_cleanup(h); }
const char *kedge_lazy_curl_easy_strerror(CURLcode c) {
    return ready() ? real_curl_easy_strerror(c) : kedge_curl_missing;
}
void kedge_lazy_curl_free(void *p) { if (ready()) real_curl_free(p); }
CURLcode kedge_lazy_curl_global_init(long flags) { return ready() ? real_curl_global_init(flags) : CURLE_FAILED_INIT; }
CURLM *kedge_lazy_curl_multi_init(void) { return ready() ? real_curl_multi_init() : NULL; }
CURLMcode kedge_lazy_curl_multi_add_handle(CURLM *m, CURL *h) {
    return ready() ? real_curl_multi_add_handle(m, h) : CURLM_INTERNAL_ERROR;
}
CURLMcode kedge_lazy_curl_multi_remove_handle(CURLM *m, CURL *h) {
    return ready() ? real_curl_multi_remove_handle(m, h) : CURLM_INTERNAL_ERROR;
}
CURLMcode kedge_lazy_curl_multi_perform(CURLM *m, int *running) {
    return ready() ? real_curl_multi_perform(m, running) : CURLM_INTERNAL_ERROR;
}
CURLMcode kedge_lazy_curl_multi_poll(CURLM *m, struct curl_waitfd *extra, unsigned int count, int ms, int *found) {
    return ready() ? real_curl_multi_poll(m, extra, count, ms, found) : CURLM_INTERNAL_ERROR;
}
CURLMcode kedge_lazy_curl_multi_wakeup(CURLM *m) { return ready() ? real_curl_multi_wakeup(m) : CURLM_INTERNAL_ERROR; }
CURLMcode kedge_lazy_curl_multi_cleanup(CURLM *m) {
    return ready() ? real_curl_multi_cleanup(m) : CURLM_INTERNAL_ERROR;
}
CURLMsg *kedge_lazy_curl_multi_info_read(CURLM *m, int *left) {
    return ready() ? real_curl_multi_info_read(m, left) : NULL;
}
const char *kedge_lazy_curl_multi_strerror(CURLMcode c) {
    return ready() ? real_curl_multi_strerror(c) : kedge_curl_missing;
}
struct curl_slist *kedge_lazy_curl_slist_append(struct curl_slist *l, const char *s) {
    return ready() ? real_curl_slist_append(l, s) : NULL;
}
void kedge_lazy_curl_slist_free_all(struct curl_slist *l) { if (ready()) real_curl_slist_free_all(l); }
CURLU *kedge_lazy_curl_url(void) { return ready() ? real_curl_url() : NULL; }
void kedge_lazy_curl_url_cleanup(CURLU *u) { if (ready()) real_curl_url_cleanup(u); }
CURLUcode kedge_lazy_curl_url_get(const CURLU *u, CURLUPart part, char **text, unsigned int flags) {
    return ready() ? real_curl_url_get(u, part, text, flags) : CURLUE_OUT_OF_MEMORY;
}
CURLUcode kedge_lazy_curl_url_set(CURLU *u, CURLUPart part, const char *text, unsigned int flags) {
    return ready() ? real_curl_url_set(u, part, text, flags) : CURLUE_OUT_OF_MEMORY;
}
const char *kedge_lazy_curl_url_strerror(CURLUcode c) {
    return ready() ? real_curl_url_strerror(c) : kedge_curl_missing;
}
curl_version_info_data *kedge_lazy_curl_version_info(CURLversion v) {
    return ready() ? real_curl_version_info(v) : NULL;
}
CURLcode kedge_lazy_curl_easy_pause(CURL *h, int what) {
    return ready() ? real_curl_easy_pause(h, what) : CURLE_FAILED_INIT;
}

CURLMcode kedge_lazy_curl_multi_setopt(CURLM *m, CURLMoption o, ...) {
    if (!ready()) return CURLM_INTERNAL_ERROR;
    va_list arguments;
    va_start(arguments, o);
    // Only options that take a long are set (curl/multi.h).
    CURLMcode code = real_curl_multi_setopt(m, o, va_arg(arguments, long));
    va_end(arguments);
    return code;
}

CURLcode kedge_lazy_curl_easy_setopt(CURL *h, CURLoption o, ...) {
    if (!ready()) return CURLE_FAILED_INIT;
    va_list arguments;
    va_start(arguments, o);
    CURLcode code;
    // The number of an option tells the type of its argument (curl.h, CURLOPTTYPE_*).
    if (o >= CURLOPTTYPE_OFF_T && o < CURLOPTTYPE_BLOB) {
        code = real_curl_easy_setopt(h, o, va_arg(arguments, curl_off_t));
    } else if (o >= CURLOPTTYPE_OBJECTPOINT) {
        code = real_curl_easy_setopt(h, o, va_arg(arguments, void *));
    } else {
        code = real_curl_easy_setopt(h, o, va_arg(arguments, long));
    }
    va_end(arguments);
    return code;
}

CURLcode kedge_lazy_curl_easy_getinfo(CURL *h, CURLINFO i, ...) {
    if (!ready()) return CURLE_FAILED_INIT;
    va_list arguments;
    va_start(arguments, i);
    CURLcode code = real_curl_easy_getinfo(h, i, va_arg(arguments, void *));
    va_end(arguments);
    return code;
}
