// SPDX-License-Identifier: MIT
// A load balancer at the socket, as others have them: programs on connect() of a cgroup that put a backend in the
// place of a service, and on getpeername() that hide it again.
import { type Lab, run } from "./lab.ts";

const SOURCE = `
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define IS(a, b) ((a)[0] == (b)[0] && (a)[1] == (b)[1] && (a)[2] == (b)[2] && (a)[3] == (b)[3])

static const __u32 service6[4] = {SERVICE6}, backend6[4] = {BACKEND6};

static __always_inline void put6(struct bpf_sock_addr *ctx, const __u32 *address)
{
	ctx->user_ip6[0] = address[0];
	ctx->user_ip6[1] = address[1];
	ctx->user_ip6[2] = address[2];
	ctx->user_ip6[3] = address[3];
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	if (ctx->user_ip4 == SERVICE4 && ctx->user_port == bpf_htons(SERVICE_PORT)) {
		ctx->user_ip4 = BACKEND4;
		ctx->user_port = bpf_htons(BACKEND_PORT);
	}
	return 1;
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	__u32 to[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};

	if (IS(to, service6) && ctx->user_port == bpf_htons(SERVICE_PORT)) {
		put6(ctx, backend6);
		ctx->user_port = bpf_htons(BACKEND_PORT);
	}
	return 1;
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	if (ctx->user_ip4 == BACKEND4 && ctx->user_port == bpf_htons(BACKEND_PORT)) {
		ctx->user_ip4 = SERVICE4;
		ctx->user_port = bpf_htons(SERVICE_PORT);
	}
	return 1;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	__u32 to[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};

	if (IS(to, backend6) && ctx->user_port == bpf_htons(BACKEND_PORT)) {
		put6(ctx, service6);
		ctx->user_port = bpf_htons(SERVICE_PORT);
	}
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
`;

export interface Place {
  v4: string;
  v6: string;
  port: number;
}

const HOOKS = ["connect4", "connect6", "getpeername4", "getpeername6"] as const;

/** The 32-bit words of an address as they lie in memory, for C. */
async function words(address: string): Promise<string> {
  const family = address.includes(":") ? "AF_INET6" : "AF_INET";
  const script = `import socket,struct; b=socket.inet_pton(socket.${family},"${address}"); print(*struct.unpack("=%dI"%(len(b)//4),b),sep="u,",end="u")`;
  return await run(["python3", "-c", script]);
}

/** Connections of a cgroup to `service` go to `backend`, as long as the cgroup is there. */
export async function balance(lab: Lab, cgroup: string, service: Place, backend: Place): Promise<void> {
  const source = lab.file("rewrite.bpf.c", SOURCE);
  const object = source.replace(/c$/, "o");
  const include = `-I/usr/include/${(await run(["gcc", "-print-multiarch"])).trim()}`;
  const macros = await Promise.all(
    Object.entries({ SERVICE: service, BACKEND: backend }).map(async ([name, { v4, v6, port }]) => [
      `-D${name}4=${await words(v4)}`,
      `-D${name}6=${await words(v6)}`,
      `-D${name}_PORT=${port}`,
    ]),
  );
  const flags = ["-g", "-O2", "-target", "bpf", ...macros.flat(), include];
  await run(["clang", ...flags, "-c", source, "-o", object]);
  const pins = "/sys/fs/bpf/rewrite";
  const attach = HOOKS.map(
    (hook) =>
      `bpftool cgroup attach ${cgroup} cgroup_inet${hook.at(-1)}_${hook.slice(0, -1)} pinned ${pins}/${hook} multi`,
  );
  // their pins are in a bpffs that nobody else sees
  const script = ["mount -t bpf bpf /sys/fs/bpf", `bpftool prog loadall ${object} ${pins}`, ...attach];
  await run(["unshare", "--mount", "sh", "-ec", script.join("\n")]);
}
