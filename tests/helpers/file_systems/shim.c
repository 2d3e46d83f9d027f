/* File systems that people have, by LD_PRELOAD: below the folder FS_FOLDER,
 * FS_NO_FLOCK: flock is not implemented (Lustre without -o flock);
 * FS_NO_LINK:  hard links are refused (some CIFS, FUSE and object stores);
 * FS_LATE:     a file is not seen by readers until it is so many milliseconds old (attribute caches of NFS). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int is_below(const char *path) {
    const char *folder = getenv("FS_FOLDER");
    return path && folder && !strncmp(path, folder, strlen(folder));
}

static int is_below_fd(int fd) {
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return is_below(path);
}

int flock(int fd, int operation) {
    if (getenv("FS_NO_FLOCK") && is_below_fd(fd)) { errno = ENOSYS; return -1; }
    return syscall(SYS_flock, fd, operation);
}

int linkat(int from, const char *old, int to, const char *new, int flags) {
    if (getenv("FS_NO_LINK") && is_below(new)) { errno = EPERM; return -1; }
    return syscall(SYS_linkat, from, old, to, new, flags);
}

int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

static int is_late(const char *path) {
    struct timespec now;
    struct stat found;
    if (!getenv("FS_LATE") || !is_below(path) || syscall(SYS_lstat, path, &found)) return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    double age = now.tv_sec - found.st_ctim.tv_sec + 1e-9 * (now.tv_nsec - found.st_ctim.tv_nsec);
    return S_ISREG(found.st_mode) && 1e3 * age < atof(getenv("FS_LATE"));
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    if (!(flags & O_CREAT) && is_late(path)) { errno = ENOENT; return -1; }
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    return open64(path, flags, mode);
}
