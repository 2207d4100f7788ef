#define _GNU_SOURCE
#include "CDevice.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// --- descriptors ---------------------------------------------------------------------------------------------

int kedge_open(const char *path, uint32_t flags, uint32_t mode) {
    int f = O_CLOEXEC;
    if ((flags & KEDGE_OPEN_READ) && (flags & KEDGE_OPEN_WRITE)) f |= O_RDWR;
    else if (flags & KEDGE_OPEN_WRITE) f |= O_WRONLY;
    else f |= O_RDONLY;
    if (flags & KEDGE_OPEN_CREATE) f |= O_CREAT;
    if (flags & KEDGE_OPEN_EXCLUSIVE) f |= O_EXCL;
    if (flags & KEDGE_OPEN_TRUNCATE) f |= O_TRUNC;
    if (flags & KEDGE_OPEN_DIRECT) f |= O_DIRECT;
    if (flags & KEDGE_OPEN_DIRECTORY) f |= O_DIRECTORY;
    if (flags & KEDGE_OPEN_NOFOLLOW) f |= O_NOFOLLOW;
    if (flags & KEDGE_OPEN_APPEND) f |= O_APPEND;
    int fd;
    do fd = open(path, f, (mode_t)mode); while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

void kedge_close(int descriptor) {
    if (descriptor > 2) (void)close(descriptor);  // Linux frees the descriptor even on EINTR: never retried
}

#define KEDGE_RETRY(call)                                   \
    int64_t n;                                              \
    do n = (call); while (n < 0 && errno == EINTR);         \
    return n < 0 ? -(int64_t)errno : n

int64_t kedge_pread(int d, void *b, size_t c, uint64_t o) { KEDGE_RETRY(pread(d, b, c, (off_t)o)); }
int64_t kedge_pwrite(int d, const void *b, size_t c, uint64_t o) { KEDGE_RETRY(pwrite(d, b, c, (off_t)o)); }
int64_t kedge_read(int d, void *b, size_t c) { KEDGE_RETRY(read(d, b, c)); }
int64_t kedge_write(int d, const void *b, size_t c) { KEDGE_RETRY(write(d, b, c)); }
// A failed fsync is never retried: the kernel has already marked the pages clean (Rebello, ATC 2020).
int kedge_datasync(int d) { return fdatasync(d) < 0 ? -errno : 0; }
int kedge_sync(int d) { return fsync(d) < 0 ? -errno : 0; }

int kedge_truncate(int d, uint64_t size) {
    int r;
    do r = ftruncate(d, (off_t)size); while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

int kedge_allocate(int d, uint64_t offset, uint64_t size) {
    int r;
    do r = posix_fallocate(d, (off_t)offset, (off_t)size); while (r == EINTR);
    return -r;
}

static int kind_of(mode_t mode) {
    if (S_ISREG(mode)) return KEDGE_KIND_FILE;
    if (S_ISDIR(mode)) return KEDGE_KIND_DIRECTORY;
    if (S_ISBLK(mode)) return KEDGE_KIND_BLOCK;
    if (S_ISCHR(mode)) return KEDGE_KIND_CHARACTER;
    return KEDGE_KIND_OTHER;
}

int kedge_size(int d, uint64_t *size) {
    struct stat st;
    if (fstat(d, &st) < 0) return -errno;
    if (S_ISBLK(st.st_mode)) {
        uint64_t bytes = 0;
        if (ioctl(d, BLKGETSIZE64, &bytes) < 0) return -errno;
        *size = bytes;
    } else {
        *size = (uint64_t)st.st_size;
    }
    return 0;
}

int kedge_kind(int d) {
    struct stat st;
    return fstat(d, &st) < 0 ? -errno : kind_of(st.st_mode);
}

int kedge_mode(int d) {
    struct stat st;
    return fstat(d, &st) < 0 ? -errno : (int)(st.st_mode & 07777);
}

int kedge_path_kind(const char *path) {
    struct stat st;
    return stat(path, &st) < 0 ? -errno : kind_of(st.st_mode);
}

int kedge_path_mode(const char *path) {
    struct stat st;
    return stat(path, &st) < 0 ? -errno : (int)(st.st_mode & 07777);
}

int kedge_sector_size(int d) {
    int bytes = 0;
    return ioctl(d, BLKSSZGET, &bytes) < 0 ? -errno : bytes;
}

int kedge_drop_cache(int d, uint64_t offset, uint64_t size) {
    struct stat st;
    if (fstat(d, &st) < 0) return -errno;
    if (S_ISBLK(st.st_mode) && ioctl(d, BLKFLSBUF, 0) < 0 && errno != EACCES && errno != EPERM) return -errno;
    return -posix_fadvise(d, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
}

int kedge_will_need(int d, uint64_t offset, uint64_t size) {
    return -posix_fadvise(d, (off_t)offset, (off_t)size, POSIX_FADV_WILLNEED);
}

int kedge_lock_exclusive(int d) {
    int r;
    do r = flock(d, LOCK_EX | LOCK_NB); while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

int kedge_isatty(int d) { return isatty(d); }

int kedge_wait_readable(int d, int timeout_ms) {
    struct pollfd p = {.fd = d, .events = POLLIN};
    int r;
    do r = poll(&p, 1, timeout_ms); while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : (r > 0 ? 1 : 0);
}

// --- paths ---------------------------------------------------------------------------------------------------

int kedge_rename(const char *from, const char *to) { return rename(from, to) < 0 ? -errno : 0; }
int kedge_unlink(const char *path) { return unlink(path) < 0 ? -errno : 0; }
int kedge_mkdir(const char *path, uint32_t mode) { return mkdir(path, (mode_t)mode) < 0 ? -errno : 0; }
int kedge_rmdir(const char *path) { return rmdir(path) < 0 ? -errno : 0; }
int kedge_symlink(const char *target, const char *path) { return symlink(target, path) < 0 ? -errno : 0; }

int kedge_free_space(const char *path, uint64_t *bytes) {
    struct statvfs s;
    if (statvfs(path, &s) < 0) return -errno;
    *bytes = (uint64_t)s.f_bavail * (uint64_t)s.f_frsize;
    return 0;
}

void *kedge_directory_open(const char *path, int *error) {
    DIR *d = opendir(path);
    *error = d ? 0 : -errno;
    return d;
}

const char *kedge_directory_next(void *directory) {
    struct dirent *e;
    while ((e = readdir((DIR *)directory)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) return e->d_name;
    return NULL;
}

void kedge_directory_close(void *directory) { closedir((DIR *)directory); }

// --- memory --------------------------------------------------------------------------------------------------

void *kedge_pages_allocate(size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}
void kedge_pages_free(void *bytes, size_t size) { munmap(bytes, size); }
int kedge_equal(const void *a, const void *b, size_t count) { return memcmp(a, b, count) == 0; }

// VmHWM of this process: getrusage's ru_maxrss would be inherited across fork from a fatter parent.
uint64_t kedge_peak_resident_kib(void) {
    FILE *f = fopen("/proc/self/status", "re");
    if (!f) return 0;
    char line[128];
    unsigned long long kib = 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %llu kB", &kib) == 1) break;
    fclose(f);
    return kib;
}

// --- threads -------------------------------------------------------------------------------------------------

struct thread {
    pthread_t id;
    kedge_thread_body body;
    void *context;
    char name[16];
};

static void *thread_main(void *p) {
    struct thread *t = p;
    pthread_setname_np(pthread_self(), t->name);
    t->body(t->context);
    return NULL;
}

void *kedge_thread_start(const char *name, kedge_thread_body body, void *context, int *error) {
    struct thread *t = calloc(1, sizeof *t);
    if (!t) { *error = -ENOMEM; return NULL; }
    t->body = body;
    t->context = context;
    strncpy(t->name, name, sizeof t->name - 1);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 1 << 20);  // libcurl with OpenSSL needs well under 512 KiB
    int r = pthread_create(&t->id, &attributes, thread_main, t);
    pthread_attr_destroy(&attributes);
    *error = -r;
    if (r != 0) { free(t); return NULL; }
    return t;
}

void kedge_thread_join(void *thread) {
    struct thread *t = thread;
    pthread_join(t->id, NULL);
    free(t);
}

struct monitor {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
};

void *kedge_monitor_create(void) {
    struct monitor *m = calloc(1, sizeof *m);
    if (!m) abort();  // 100 bytes at start-up: there is no going on without it
    pthread_mutex_init(&m->mutex, NULL);
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&m->condition, &a);
    pthread_condattr_destroy(&a);
    return m;
}
void kedge_monitor_destroy(void *monitor) {
    struct monitor *m = monitor;
    pthread_cond_destroy(&m->condition);
    pthread_mutex_destroy(&m->mutex);
    free(m);
}
void kedge_monitor_lock(void *m) { pthread_mutex_lock(&((struct monitor *)m)->mutex); }
void kedge_monitor_unlock(void *m) { pthread_mutex_unlock(&((struct monitor *)m)->mutex); }
void kedge_monitor_wait(void *monitor) {
    struct monitor *m = monitor;
    pthread_cond_wait(&m->condition, &m->mutex);
}
int kedge_monitor_wait_for(void *monitor, uint64_t nanoseconds) {
    struct monitor *m = monitor;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t ns = (uint64_t)t.tv_nsec + nanoseconds % 1000000000u;
    t.tv_sec += (time_t)(nanoseconds / 1000000000u + ns / 1000000000u);
    t.tv_nsec = (long)(ns % 1000000000u);
    return pthread_cond_timedwait(&m->condition, &m->mutex, &t) == ETIMEDOUT;
}
void kedge_monitor_signal(void *m) { pthread_cond_broadcast(&((struct monitor *)m)->condition); }
int kedge_cpu_count(void) { long n = sysconf(_SC_NPROCESSORS_ONLN); return n > 0 ? (int)n : 1; }

// --- time, randomness, processes, signals ---------------------------------------------------------------------

uint64_t kedge_monotonic_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
int64_t kedge_real_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec;
}
void kedge_sleep_ns(uint64_t nanoseconds) {
    struct timespec t = {.tv_sec = (time_t)(nanoseconds / 1000000000u), .tv_nsec = (long)(nanoseconds % 1000000000u)};
    while (nanosleep(&t, &t) < 0 && errno == EINTR) {}
}
int kedge_random(void *bytes, size_t count) {
    uint8_t *p = bytes;
    while (count > 0) {
        ssize_t n = getrandom(p, count, 0);
        if (n < 0) { if (errno == EINTR) continue; return -errno; }
        p += n;
        count -= (size_t)n;
    }
    return 0;
}
int kedge_pid(void) { return (int)getpid(); }
uint32_t kedge_user(void) { return (uint32_t)geteuid(); }
const char *kedge_environment(const char *name) { return getenv(name); }
const char *kedge_error_text(int error) { return strerrordesc_np(error); }

static void keep_tail(char *output, size_t capacity, size_t *kept, const char *fresh, size_t n) {
    if (n >= capacity) { fresh += n - capacity; n = capacity; *kept = 0; }
    if (*kept + n > capacity) {
        size_t drop = *kept + n - capacity;
        memmove(output, output + drop, *kept - drop);
        *kept -= drop;
    }
    memcpy(output + *kept, fresh, n);
    *kept += n;
}

int kedge_run(const char *const *argv, const char *const *envp, uint64_t timeout_ms, char *output, size_t capacity,
              struct kedge_process_result *result) {
    int ends[2], started[2];
    memset(result, 0, sizeof *result);
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    if (pipe2(started, O_CLOEXEC) < 0) { int e = errno; close(ends[0]); close(ends[1]); return -e; }
    pid_t child = fork();
    if (child < 0) {
        int e = errno;
        close(ends[0]); close(ends[1]); close(started[0]); close(started[1]);
        return -e;
    }
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);  // the daemon blocks its stop signals; a child must not
        signal(SIGPIPE, SIG_DFL);
        setpgid(0, 0);
        int null = open("/dev/null", O_RDONLY);
        if (null >= 0) dup2(null, 0);
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        // A script that was just written can be busy for a moment: another thread's child may hold the writer's
        // descriptor between its fork and its exec.
        int e, tries = 0;
        do {
            execvpe(argv[0], (char *const *)argv, (char *const *)envp);
            e = errno;
        } while (e == ETXTBSY && ++tries < 50 && usleep(10000) == 0);
        (void)!write(started[1], &e, sizeof e);
        _exit(127);
    }
    setpgid(child, child);
    close(ends[1]);
    close(started[1]);
    int failure = 0;
    ssize_t got;
    do got = read(started[0], &failure, sizeof failure); while (got < 0 && errno == EINTR);
    close(started[0]);
    uint64_t deadline = kedge_monotonic_ns() / 1000000u;
    deadline = timeout_ms > UINT64_MAX - deadline ? UINT64_MAX : deadline + timeout_ms;
    char buffer[4096];
    bool open_end = true, exited = false;
    int status = 0;
    while (!exited) {
        uint64_t now = kedge_monotonic_ns() / 1000000u;
        if (now >= deadline) {
            result->timed_out = 1;
            kill(-child, SIGKILL);
            while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
            exited = true;
            break;
        }
        uint64_t left = deadline - now;
        struct pollfd p = {.fd = open_end ? ends[0] : -1, .events = POLLIN};
        int wait = left > 50 ? 50 : (int)left;
        if (poll(&p, 1, wait) > 0) {
            ssize_t n = read(ends[0], buffer, sizeof buffer);
            if (n > 0) keep_tail(output, capacity, &result->output, buffer, (size_t)n);
            else if (n == 0) open_end = false;
        }
        pid_t r = waitpid(child, &status, WNOHANG);
        if (r == child) exited = true;
    }
    // What is still in the pipe; a grandchild may hold the other end open, so this never blocks.
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 256; i++) {
        ssize_t n = read(ends[0], buffer, sizeof buffer);
        if (n <= 0) break;
        keep_tail(output, capacity, &result->output, buffer, (size_t)n);
    }
    close(ends[0]);
    if (got > 0) return -failure;
    result->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    result->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return 0;
}

int kedge_signals_claim(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    int r = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (r != 0) return -r;
    int d = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return d < 0 ? -errno : d;
}

int kedge_signals_next(int d) {
    struct signalfd_siginfo info;
    ssize_t n;
    do n = read(d, &info, sizeof info); while (n < 0 && errno == EINTR);
    if (n < 0) return errno == EAGAIN ? 0 : -errno;
    return n == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

void kedge_ignore_broken_pipes(void) { signal(SIGPIPE, SIG_IGN); }

int kedge_notify(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    if (!path || (path[0] != '/' && path[0] != '@')) return 0;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path) return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') address.sun_path[0] = 0;
    int d = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (d < 0) return -errno;
    ssize_t n = sendto(d, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
                       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
    int e = n < 0 ? -errno : 0;
    close(d);
    return e;
}

void kedge_exit(int status) { exit(status); }

int kedge_pipe(int *read_end, int *write_end) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return -errno;
    *read_end = ends[0];
    *write_end = ends[1];
    return 0;
}
