/* Notes what has reached the disk, so that a power cut can be played.
 *
 * A line for each successful fsync or fdatasync: the process, the size that the file had when it
 * began (what is written meanwhile may not be covered), the file's path, and how long it took (us).
 * A line for each rename and truncation as well, and one when the shim is loaded, which proves that
 * it is. Lines go to the file that PENSTOCK_FSYNC_NOTES names, by one write each.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int (*next_fsync)(int);
static int (*next_fdatasync)(int);
static int (*next_rename)(const char *, const char *);
static int (*next_truncate)(const char *, off64_t);
static int (*next_ftruncate)(int, off64_t);

static void note(const char *line, int length) {
    const char *name = getenv("PENSTOCK_FSYNC_NOTES");
    int file = name ? open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644) : -1;
    if (file < 0 || write(file, line, length) != length) {
        abort(); /* Notes that are missing would cut off what is safe. */
    }
    close(file);
}

__attribute__((constructor)) static void load(void) {
    char line[64];
    next_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    next_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    next_rename = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    next_truncate = (int (*)(const char *, off64_t))dlsym(RTLD_NEXT, "truncate64");
    next_ftruncate = (int (*)(int, off64_t))dlsym(RTLD_NEXT, "ftruncate64");
    note(line, snprintf(line, sizeof line, "load\t%d\n", getpid()));
}

static void note_size(const char *kind, long long size, const char *path, long long took_us) {
    char line[PATH_MAX + 96];
    note(line, snprintf(line, sizeof line, "%s\t%d\t%lld\t%s\t%lld\n", kind, getpid(), size, path,
                        took_us));
}

static void note_file(const char *kind, long long size, int file, long long took_us) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length > 0) {
        path[length] = 0;
        note_size(kind, size, path, took_us);
    }
}

static long long now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static int spied(int (*sync)(int), int file) {
    struct stat before;
    int known = fstat(file, &before) == 0;
    long long began = now_us();
    int result = sync(file);
    if (result == 0 && known && S_ISREG(before.st_mode)) {
        note_file("sync", before.st_size, file, now_us() - began);
    }
    return result;
}

int fsync(int file) { return spied(next_fsync, file); }

int fdatasync(int file) { return spied(next_fdatasync, file); }

int rename(const char *from, const char *to) {
    char old[PATH_MAX], new[PATH_MAX], line[2 * PATH_MAX + 64];
    const char *known = realpath(from, old);
    int result = next_rename(from, to);
    if (result == 0 && known && realpath(to, new)) {
        note(line, snprintf(line, sizeof line, "rename\t%d\t%s\t%s\n", getpid(), old, new));
    }
    return result;
}

int truncate64(const char *name, off64_t size) {
    char path[PATH_MAX];
    int result = next_truncate(name, size);
    if (result == 0 && realpath(name, path)) {
        note_size("cut", size, path, 0);
    }
    return result;
}

int truncate(const char *name, off_t size) { return truncate64(name, size); }

int ftruncate64(int file, off64_t size) {
    int result = next_ftruncate(file, size);
    if (result == 0) {
        note_file("cut", size, file, 0);
    }
    return result;
}

int ftruncate(int file, off_t size) { return ftruncate64(file, size); }
