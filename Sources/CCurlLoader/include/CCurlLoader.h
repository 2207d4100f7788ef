// libcurl, loaded when it is first needed; see CCurlLoader.c. Its other functions are declared by CCurl.
#ifndef KEDGE_CCURLLOADER_H
#define KEDGE_CCURLLOADER_H
// Whether libcurl was loaded into this process.
int kedge_curl_is_loaded(void);
#endif
