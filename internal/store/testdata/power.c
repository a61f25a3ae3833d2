// Logs what a process writes to the record, and what it has made durable, so that a power loss at any
// instant can be played afterwards. Loaded with LD_PRELOAD; POWER_LOG names the log.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// file is 'd' for the database, 'w' for its log, 0 for any other.
static char file(int fd) {
	char name[64], path[4096];
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(name, path, sizeof path - 1);
	if (n < 0) return 0;
	path[n] = 0;
	const char *end = strstr(path, "linectl.db");
	if (!end) return 0;
	if (!strcmp(end, "linectl.db")) return 'd';
	if (!strcmp(end, "linectl.db-wal")) return 'w';
	return 0;
}

static void note(char op, char file, int64_t at, int64_t size, const void *data) {
	static int log = -1;
	if (!file) return;
	pthread_mutex_lock(&lock);
	if (log < 0) log = open(getenv("POWER_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	char head[18] = {op, file};
	memcpy(head + 2, &at, 8);
	memcpy(head + 10, &size, 8);
	struct iovec parts[] = {{head, sizeof head}, {(void *)data, data ? (size_t)size : 0}};
	if (writev(log, parts, 2) != (ssize_t)(sizeof head + parts[1].iov_len)) abort();
	pthread_mutex_unlock(&lock);
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, #name)

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
	REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
	ssize_t done = real(fd, data, n, at);
	if (done > 0) note('W', file(fd), at, done, data);
	return done;
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { return pwrite64(fd, data, n, at); }

ssize_t write(int fd, const void *data, size_t n) {
	REAL(ssize_t, write, int, const void *, size_t);
	char f = file(fd);
	off_t at = f ? lseek(fd, 0, SEEK_CUR) : 0;
	ssize_t done = real(fd, data, n);
	if (done > 0) note('W', f, at, done, data);
	return done;
}

int ftruncate64(int fd, off64_t size) {
	REAL(int, ftruncate64, int, off64_t);
	int failed = real(fd, size);
	if (!failed) note('T', file(fd), size, 0, NULL);
	return failed;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fsync(int fd) {
	REAL(int, fsync, int);
	char f = file(fd);
	note('s', f, 0, 0, NULL);
	int failed = real(fd);
	if (!failed) note('S', f, 0, 0, NULL);
	return failed;
}

int fdatasync(int fd) {
	REAL(int, fdatasync, int);
	char f = file(fd);
	note('s', f, 0, 0, NULL);
	int failed = real(fd);
	if (!failed) note('S', f, 0, 0, NULL);
	return failed;
}
