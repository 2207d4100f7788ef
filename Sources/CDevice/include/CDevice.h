// The C ground of the device graph: what Embedded Swift cannot name by itself (errno, variadic open, ioctl
// requests, O_DIRECT, pthread objects, signalfd, spawning). Every function returns 0 or a value on success and
// -errno on failure, so that no caller has to read errno afterwards.
#ifndef KEDGE_CDEVICE_H
#define KEDGE_CDEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// --- descriptors ---------------------------------------------------------------------------------------------
enum {
    KEDGE_OPEN_READ = 1,
    KEDGE_OPEN_WRITE = 2,
    KEDGE_OPEN_CREATE = 4,
    KEDGE_OPEN_EXCLUSIVE = 8,  // with CREATE: must not exist; on a block device: must not be mounted or held
    KEDGE_OPEN_TRUNCATE = 16,
    KEDGE_OPEN_DIRECT = 32,    // O_DIRECT
    KEDGE_OPEN_DIRECTORY = 64,
    KEDGE_OPEN_NOFOLLOW = 128,
    KEDGE_OPEN_APPEND = 256,
};
int kedge_open(const char *path, uint32_t flags, uint32_t mode);
void kedge_close(int descriptor);
int64_t kedge_pread(int descriptor, void *bytes, size_t count, uint64_t offset);
int64_t kedge_pwrite(int descriptor, const void *bytes, size_t count, uint64_t offset);
int64_t kedge_read(int descriptor, void *bytes, size_t count);
// A copy of a descriptor with close-on-exec, not below 3.
int kedge_duplicate(int descriptor);
int64_t kedge_write(int descriptor, const void *bytes, size_t count);
int kedge_datasync(int descriptor);
int kedge_sync(int descriptor);
int kedge_truncate(int descriptor, uint64_t size);
int kedge_allocate(int descriptor, uint64_t offset, uint64_t size);
// Bytes of a regular file or block device.
int kedge_size(int descriptor, uint64_t *size);
enum { KEDGE_KIND_FILE = 1, KEDGE_KIND_DIRECTORY = 2, KEDGE_KIND_BLOCK = 3, KEDGE_KIND_CHARACTER = 4, KEDGE_KIND_OTHER = 5 };
int kedge_kind(int descriptor);
int kedge_mode(int descriptor);  // permission bits
int kedge_path_kind(const char *path);
int kedge_path_mode(const char *path);
int kedge_sector_size(int descriptor);
// 1 when the block device refuses writes although it can be opened for them.
int kedge_is_read_only(int descriptor);
// A raw flash device (/dev/mtdN): 1 for NAND, 0 for anything else.
int kedge_flash_info(int descriptor, uint64_t *size, uint32_t *erase_size);
int kedge_flash_erase(int descriptor, uint64_t offset, uint64_t size);
// Asks the kernel to forget cached pages, so that the next read comes from the medium.
int kedge_drop_cache(int descriptor, uint64_t offset, uint64_t size);
// Starts reading these bytes into the page cache without waiting for them.
int kedge_will_need(int descriptor, uint64_t offset, uint64_t size);
int kedge_lock_exclusive(int descriptor);  // -EWOULDBLOCK when another process holds it
int kedge_isatty(int descriptor);
// Waits for input: 1 readable or closed, 0 timed out. A negative timeout waits without limit.
int kedge_wait_readable(int descriptor, int timeout_ms);

// --- paths ---------------------------------------------------------------------------------------------------
int kedge_rename(const char *from, const char *to);
int kedge_unlink(const char *path);
int kedge_mkdir(const char *path, uint32_t mode);
int kedge_rmdir(const char *path);
int kedge_symlink(const char *target, const char *path);
// Bytes of the target, without a terminating zero; the capacity when it was cut.
int64_t kedge_readlink(const char *path, char *target, size_t capacity);
int kedge_free_space(const char *path, uint64_t *bytes);
void *kedge_directory_open(const char *path, int *error);
// The next name, or NULL at the end; the pointer lives until the next call. "." and ".." are left out.
const char *kedge_directory_next(void *directory);
void kedge_directory_close(void *directory);

// --- staging (Staging.c) -------------------------------------------------------------------------------------
// A file without a name in that directory (O_TMPFILE); gone when its descriptor closes.
int kedge_open_unnamed(const char *directory, uint32_t mode);
// Gives it a name, which must not exist.
int kedge_link_unnamed(int descriptor, const char *path);
// Copies inside the kernel, sharing blocks where the file system can; fewer bytes than asked are possible.
int64_t kedge_copy_range(int from, uint64_t from_offset, int to, uint64_t to_offset, size_t count);
// When the content last changed.
int kedge_modified(int descriptor, int64_t *seconds, uint32_t *nanoseconds);

// --- memory --------------------------------------------------------------------------------------------------
// Zeroed, page-aligned memory straight from the kernel: pages cost nothing until they are touched, and go back when
// they are freed. NULL when there is none.
void *kedge_pages_allocate(size_t size);
void kedge_pages_free(void *bytes, size_t size);
uint64_t kedge_peak_resident_kib(void);
int kedge_equal(const void *a, const void *b, size_t count);

// --- threads -------------------------------------------------------------------------------------------------
typedef void (*kedge_thread_body)(void *context);
void *kedge_thread_start(const char *name, kedge_thread_body body, void *context, int *error);
void kedge_thread_join(void *thread);
void *kedge_monitor_create(void);
void kedge_monitor_destroy(void *monitor);
void kedge_monitor_lock(void *monitor);
void kedge_monitor_unlock(void *monitor);
void kedge_monitor_wait(void *monitor);
// Returns 1 when the time (monotonic, from now) ran out before a signal came.
int kedge_monitor_wait_for(void *monitor, uint64_t nanoseconds);
void kedge_monitor_signal(void *monitor);
int kedge_cpu_count(void);

// --- time, randomness, processes, signals ---------------------------------------------------------------------
uint64_t kedge_monotonic_ns(void);
int64_t kedge_real_seconds(void);
void kedge_sleep_ns(uint64_t nanoseconds);
int kedge_random(void *bytes, size_t count);
int kedge_pid(void);
uint32_t kedge_user(void);
const char *kedge_environment(const char *name);
const char *kedge_error_text(int error);

struct kedge_process_result {
    int status;      // exit status, or -1 when it did not exit by itself
    int signal;      // the signal that ended it, or 0
    int timed_out;   // 1 when it was killed at the deadline
    size_t output;   // bytes of stdout and stderr kept (the last ones)
};
// Runs argv (no shell) in its own process group, feeds nothing, keeps the tail of its output, and kills the
// whole group at the deadline. Returns 0 or -errno when it could not be started.
int kedge_run(const char *const *argv, const char *const *envp, uint64_t timeout_ms, char *output, size_t capacity,
              struct kedge_process_result *result);

// Blocks SIGTERM, SIGINT and SIGHUP in the calling thread and all it starts; returns a descriptor that reads them.
int kedge_signals_claim(void);
// The next signal number, 0 when none is pending, or -errno.
int kedge_signals_next(int descriptor);
void kedge_ignore_broken_pipes(void);
// sd_notify(3) over NOTIFY_SOCKET; 0 when there is no such socket.
int kedge_notify(const char *state);
_Noreturn void kedge_exit(int status);

// Minutes since local midnight at a time in seconds since 1970.
uint32_t kedge_minute_of_day(int64_t seconds);

// Bytes of a socket-free event: a pipe for waking poll loops.
int kedge_pipe(int *read_end, int *write_end);

#endif
