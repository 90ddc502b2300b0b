/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/pins.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "bpf/compat.h"
#include "bpf/explain.h"
#include "common/log.h"

#define BPFFS_DEFAULT "/sys/fs/bpf"

/* 0, -ENOTDIR if it is another file system, or why it cannot be told. */
static int check_bpffs(const char *path)
{
	struct statfs info;

	if (statfs(path, &info) < 0)
		return -errno;
	return (unsigned long)info.f_type == COMPAT_BPF_FS_MAGIC ? 0 : -ENOTDIR;
}

int pins_make_dir(const char *path)
{
	char partial[PATH_MAX];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(partial))
		return -ENAMETOOLONG;
	memcpy(partial, path, len + 1);
	for (size_t i = 1; i <= len; i++) {
		if (partial[i] != '/' && partial[i] != '\0')
			continue;
		partial[i] = '\0';
		if (mkdir(partial, 0755) < 0 && errno != EEXIST)
			return -errno;
		if (i < len)
			partial[i] = '/';
	}
	return 0;
}

static int join(char ret[PATH_MAX], const char *dir, const char *name)
{
	return snprintf(ret, PATH_MAX, "%s/%s", dir, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static void add(struct pins_bpffs *pins, const char *path, bool mounted_here)
{
	snprintf(pins->list[pins->count], PATH_MAX, "%s", path);
	pins->mounted_here[pins->count++] = mounted_here;
}

static int mount_own(struct pins_bpffs *pins, const char *path, char *error)
{
	int err = pins_make_dir(path);

	if (!err && mount("bpf", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		err = -errno;
	if (err)
		return explain(error, err,
			       "cannot mount a bpf file system at %s (none is at " BPFFS_DEFAULT
			       "; mount one, or name one by --bpffs)",
			       path);
	log_info("mounted a bpf file system at %s", path);
	add(pins, path, true);
	return 0;
}

int pins_find(struct pins_bpffs *ret, const char *bpffs, const char *run_dir, bool mount,
	      char *error)
{
	struct pins_bpffs pins = {};
	char own[PATH_MAX];
	int err;

	if (bpffs) {
		err = check_bpffs(bpffs);
		if (err == -ENOTDIR)
			return explain_only(error, err,
					    "%s is not a bpf file system (mount -t bpf bpf %s)",
					    bpffs, bpffs);
		if (err)
			return explain(error, err, "cannot look at %s", bpffs);
		add(&pins, bpffs, false);
		*ret = pins;
		return 0;
	}
	err = join(own, run_dir ? run_dir : PINS_RUN_DIR, "bpf");
	if (err)
		return err;
	if (check_bpffs(BPFFS_DEFAULT) == 0)
		add(&pins, BPFFS_DEFAULT, false);
	if (check_bpffs(own) == 0)
		add(&pins, own, true);
	if (!pins.count && mount) {
		err = mount_own(&pins, own, error);
		if (err)
			return err;
	}
	*ret = pins;
	return 0;
}

int pins_instance_dir(char ret[PATH_MAX], const char *bpffs, const char *instance)
{
	char folder[PINS_NAME_LEN];
	size_t len = 0;

	if (!instance[0])
		return -EINVAL;
	for (const char *c = instance; *c; c++) {
		bool plain = isalnum((unsigned char)*c) || *c == '_' || *c == '-';

		if (len + 4 > sizeof(folder))
			return -ENAMETOOLONG;
		if (plain)
			folder[len++] = *c;
		else
			len += (size_t)sprintf(folder + len, "%%%02X", (unsigned char)*c);
	}
	folder[len] = '\0';
	if (snprintf(ret, PATH_MAX, "%s/" PINS_ROOT "/%s", bpffs, folder) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

bool pins_instance_name(char ret[PINS_NAME_LEN], const char *folder)
{
	size_t len = 0;
	unsigned int byte;

	if (folder[0] == '.' || strlen(folder) >= PINS_NAME_LEN)
		return false;
	for (const char *c = folder; *c; c++) {
		if (*c != '%') {
			ret[len++] = *c;
			continue;
		}
		if (!isxdigit((unsigned char)c[1]) || !isxdigit((unsigned char)c[2]) ||
		    sscanf(c + 1, "%2x", &byte) != 1)
			return false;
		ret[len++] = (char)byte;
		c += 2;
	}
	ret[len] = '\0';
	return true;
}

static void remove_level(const char *path, int levels)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char inner[PATH_MAX];

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    join(inner, path, entry->d_name))
			continue;
		if (unlink(inner) < 0 && levels > 1)
			remove_level(inner, levels - 1);
	}
	closedir(dir);
	(void)rmdir(path);
}

void pins_remove_dir(const char *path)
{
	remove_level(path, 2);
}

void pins_tidy(const struct pins_bpffs *bpffs, size_t i)
{
	char root[PATH_MAX];

	if (join(root, bpffs->list[i], PINS_ROOT) || rmdir(root) < 0)
		return;
	if (bpffs->mounted_here[i] && umount(bpffs->list[i]) == 0)
		(void)rmdir(bpffs->list[i]);
}

static int read_pid(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) < 0)
		return 0;
	return atoi(text);
}

static void write_pid(int fd)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) == 0)
		(void)!pwrite(fd, text, (size_t)len, 0);
}

/* The file locked is the one that others will find at this path. */
static bool is_still_there(int fd, const char *path)
{
	struct stat held, there;

	return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino &&
	       held.st_dev == there.st_dev;
}

static int lock_file(const char *path, int flags, int *pid)
{
	for (;;) {
		int fd = open(path, flags | O_CLOEXEC, 0644), err;

		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			err = errno == EWOULDBLOCK ? -EBUSY : -errno;
			*pid = (flags & O_DIRECTORY) ? 0 : read_pid(fd);
			close(fd);
			return err;
		}
		if (is_still_there(fd, path))
			return fd;
		close(fd);
	}
}

static int explain_lock(char *error, int err, const char *instance, const char *run_dir, int pid)
{
	if (err == -EBUSY && pid)
		return explain_only(error, err,
				    "instance \"%s\" is in use by another xcapd (process %d): stop "
				    "it, or choose another --name",
				    instance, pid);
	if (err == -EBUSY)
		return explain_only(error, err,
				    "instance \"%s\" is in use by another xcapd, with another "
				    "--run-dir: stop it, or choose another --name",
				    instance);
	return explain(error, err, "cannot lock instance \"%s\" in %s", instance, run_dir);
}

int pins_lock(struct pins_lock *lock, const char *run_dir, const char *instance, const char *dir,
	      char *error)
{
	int err, pid = 0;

	*lock = (struct pins_lock){ .run_fd = -1, .pins_fd = -1 };
	if (!run_dir)
		run_dir = PINS_RUN_DIR;
	if (strchr(instance, '/') || instance[0] == '.' || !instance[0])
		return explain_only(error, -EINVAL, "\"%s\" cannot be the name of an instance",
				    instance);
	err = pins_make_dir(run_dir);
	if (err)
		return explain(error, err, "cannot make %s", run_dir);
	if (snprintf(lock->path, sizeof(lock->path), "%s/%s.lock", run_dir, instance) >=
	    (int)sizeof(lock->path))
		return explain_lock(error, -ENAMETOOLONG, instance, run_dir, pid);
	lock->run_fd = lock_file(lock->path, O_RDWR | O_CREAT, &pid);
	if (lock->run_fd < 0)
		return explain_lock(error, lock->run_fd, instance, run_dir, pid);
	write_pid(lock->run_fd);
	if (!dir)
		return 0;
	/* Others with another RUN_DIR on the same bpf file system. */
	lock->pins_fd = lock_file(dir, O_RDONLY | O_DIRECTORY, &pid);
	if (lock->pins_fd < 0) {
		err = explain_lock(error, lock->pins_fd, instance, run_dir, pid);
		pins_unlock(lock, false);
		return err;
	}
	return 0;
}

void pins_unlock(struct pins_lock *lock, bool forget)
{
	if (forget && lock->run_fd >= 0)
		(void)unlink(lock->path);
	if (lock->pins_fd >= 0)
		close(lock->pins_fd);
	if (lock->run_fd >= 0)
		close(lock->run_fd);
	lock->pins_fd = lock->run_fd = -1;
}
