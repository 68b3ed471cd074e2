/* Delays each fsync and fdatasync by as many microseconds as a shared file says at that moment.
 *
 * The file that PENSTOCK_FSYNC_DELAY names holds one 64-bit integer. It is mapped, so that a look
 * at it costs nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int (*next_fsync)(int);
static int (*next_fdatasync)(int);
static const volatile int64_t *delay_us;

__attribute__((constructor)) static void load(void) {
    const char *name = getenv("PENSTOCK_FSYNC_DELAY");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(0, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) {
        abort();
    }
    close(file);
    delay_us = page;
    next_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    next_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
}

static void delay(void) {
    int64_t wanted = *delay_us;
    struct timespec rest = {wanted / 1000000, wanted % 1000000 * 1000};
    while (wanted > 0 && nanosleep(&rest, &rest) != 0) {
    }
}

int fsync(int file) {
    delay();
    return next_fsync(file);
}

int fdatasync(int file) {
    delay();
    return next_fdatasync(file);
}
