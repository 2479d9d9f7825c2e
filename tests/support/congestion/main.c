// SPDX-License-Identifier: MIT
/*
 * congestion OBJECT: the kernel has one more congestion control, tcpx_test, until stdin ends. Says
 * "ready" when it has. The kernel would keep it for good, should its process be killed: so that is
 * a child, which goes on reading when this one is.
 */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int hold(const char *path)
{
	struct rlimit most = {RLIM_INFINITY, RLIM_INFINITY};
	struct bpf_object *object;
	struct bpf_link *link;
	char byte;

	setrlimit(RLIMIT_MEMLOCK, &most); /* 5.10 counts maps there */
	object = bpf_object__open_file(path, NULL);
	if (!object || bpf_object__load(object))
		return 1;
	link = bpf_map__attach_struct_ops(bpf_object__find_map_by_name(object, "congestion"));
	if (!link)
		return 1;
	printf("ready\n");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return bpf_link__destroy(link) ? 1 : 0;
}

int main(int argc, char **argv)
{
	int status;
	pid_t pid;

	if (argc != 2)
		return 2;
	pid = fork();
	if (pid < 0)
		return 1;
	if (!pid) {
		setsid();
		return hold(argv[1]);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
