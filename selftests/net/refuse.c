/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * refuse WHAT[=ERRNO]... -- CMD...: run a command under a kernel that refuses something, by
 * seccomp: bpf, io_uring_setup   the system call, as a container's profile does (EPERM unless ERRNO
 * says otherwise: EPERM or ENOSYS) tcx                   links of this type, as kernels before 6.6
 * do (EINVAL)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TCX_INGRESS 46
#define TCX_EGRESS 47

static int install(unsigned int nr, uint32_t action, unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 4, .filter = code };

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static int is_tcx_link(const struct seccomp_notif *call)
{
	struct {
		uint32_t prog_fd, target, attach_type;
	} attr = {};
	char path[64];
	ssize_t n = 0;
	int fd;

	if (call->data.args[0] != BPF_LINK_CREATE)
		return 0;
	snprintf(path, sizeof(path), "/proc/%u/mem", call->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = pread(fd, &attr, sizeof(attr), (off_t)call->data.args[1]);
		close(fd);
	}
	return n == (ssize_t)sizeof(attr) &&
	       (attr.attach_type == TCX_INGRESS || attr.attach_type == TCX_EGRESS);
}

/* Answers each bpf(2) of the command until that has ended. */
static void watch(int listener)
{
	for (;;) {
		struct seccomp_notif call = {};
		struct seccomp_notif_resp answer = {};

		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call)) {
			if (errno == EINTR)
				continue;
			return;
		}
		answer.id = call.id;
		if (is_tcx_link(&call))
			answer.error = -EINVAL;
		else
			answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
}

static int refuse_tcx(void)
{
	int listener = install(SYS_bpf, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
	pid_t child;

	if (listener < 0)
		return -1;
	child = fork();
	if (child == 0) {
		/* It has the filter itself, so that nothing else would tell it of the end. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Of the test's pipes none may stay open. */
		listener = dup2(listener, 0);
		close_range(1, ~0u, 0);
		watch(listener);
		_exit(0);
	}
	close(listener);
	return child < 0 ? -1 : 0;
}

static int refuse(const char *what)
{
	const char *is = strchr(what, '=');
	size_t len = is ? (size_t)(is - what) : strlen(what);
	uint32_t action = SECCOMP_RET_ERRNO | (is && !strcmp(is, "=ENOSYS") ? ENOSYS : EPERM);

	if (len == 3 && !strncmp(what, "bpf", len))
		return install(SYS_bpf, action, 0);
	if (!strncmp(what, "io_uring_setup", len))
		return install(SYS_io_uring_setup, action, 0);
	if (!strncmp(what, "tcx", len))
		return refuse_tcx();
	errno = EINVAL;
	return -1;
}

int main(int argc, char **argv)
{
	int i = 1;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		perror("refuse: no_new_privs");
	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (refuse(argv[i])) {
			perror(argv[i]);
			return 2;
		}
	}
	if (i + 1 >= argc) {
		fprintf(stderr, "usage: refuse bpf|io_uring_setup|tcx[=ERRNO]... -- CMD...\n");
		return 2;
	}
	execvp(argv[i + 1], &argv[i + 1]);
	perror(argv[i + 1]);
	return 127;
}
