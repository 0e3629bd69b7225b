// <features.h> first: libraries that set feature macros of their own would otherwise change the layout of fd_set.
#include <features.h>
#include <uv.h>

// Linux calls that glibc declares only under _GNU_SOURCE, which Swift's importer does not set, and names that Swift cannot
// tell apart (`statvfs` is a struct and a function). Each returns a negative error number instead of setting errno.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/// preadv2 with RWF_NOWAIT (Linux 4.14): reads only what lies in the page cache.
static inline ssize_t apus_pread_nowait(int descriptor, void *buffer, size_t count, int64_t offset) {
    extern ssize_t preadv2(int, const struct iovec *, int, off_t, int);
    struct iovec vector = {buffer, count};
    ssize_t result = preadv2(descriptor, &vector, 1, offset, 0x00000008);
    return result < 0 ? -errno : result;
}

static inline int apus_fallocate(int descriptor, int64_t offset, int64_t size) {
    extern int fallocate(int, int, off_t, off_t);
    return fallocate(descriptor, 0, offset, size) < 0 ? -errno : 0;
}

static inline int apus_syncfs(int descriptor) {
    extern int syncfs(int);
    return syncfs(descriptor) < 0 ? -errno : 0;
}

static inline ssize_t apus_getrandom(void *buffer, size_t count) {
    extern ssize_t getrandom(void *, size_t, unsigned int);
    ssize_t result = getrandom(buffer, count, 0);
    return result < 0 ? -errno : result;
}

/// Takes a waiting connection as a non-blocking, close-on-exec socket.
static inline int apus_accept(int descriptor) {
    extern int accept4(int, struct sockaddr *, socklen_t *, int);
    int result = accept4(descriptor, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return result < 0 ? -errno : result;
}

/// Locks the whole file for this open descriptor (F_OFD_SETLK, 37): against other descriptors, also of this process, and
/// against the POSIX locks that a Java program takes. Gone when the descriptor is closed.
static inline int apus_lock(int descriptor) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(descriptor, 37, &lock) < 0 ? -errno : 0;
}

/// Names the calling thread; the kernel keeps 15 bytes.
static inline int apus_name_thread(const char *name) {
    extern int pthread_setname_np(pthread_t, const char *);
    return pthread_setname_np(pthread_self(), name);
}

/// Bytes available to ordinary users, and those plus what is used: the two numbers that `df` divides.
static inline int apus_space(const char *path, int64_t *available, int64_t *total) {
    struct statvfs space;
    if (statvfs(path, &space) < 0) return -errno;
    *available = (int64_t)space.f_bavail * (int64_t)space.f_frsize;
    *total = (int64_t)(space.f_blocks - space.f_bfree + space.f_bavail) * (int64_t)space.f_frsize;
    return 0;
}
