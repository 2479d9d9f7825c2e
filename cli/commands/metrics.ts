// SPDX-License-Identifier: MIT

import type { AgentAnswer } from "../agent/health.ts";
import { askAgent } from "../agent/socket.ts";
import { globalArgs, scopeArgs, scopeFlags, textArg } from "../base/args.ts";
import { Exit, type ExitCode, usageError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { type Host, openHost } from "../flags/host-access.ts";
import { readCounters } from "../loader/counters.ts";
import { familiesOf } from "../observe/families.ts";
import { formatListen, type Listen, parseListen } from "../observe/listen.ts";
import { type Family, familiesJson, openMetrics } from "../observe/openmetrics.ts";
import { serveMetrics } from "../observe/serve.ts";
import { writeTextfile } from "../observe/textfile.ts";
import type { Io } from "../output/io.ts";
import { refresher } from "../packages/refresh.ts";
import { becomeConfined } from "../system/confine.ts";
import { type Capability, capabilities } from "../system/host.ts";
import { absolutePath } from "../system/working-directory.ts";
import { commands } from "./index.ts";
import { leaf } from "./types.ts";

const command = "metrics";

/** An agent that does not answer must not cost the other counters. */
async function answerOfAgent(io: Io, ways: boolean): Promise<AgentAnswer | undefined> {
  try {
    return await askAgent<AgentAnswer>({ op: "status", ways }, 2000);
  } catch (error) {
    io.messages.warn((error as Error).message);
    return undefined;
  }
}

/** What a server needs that others reach: it reads pins of root's, and names of cgroups as process 1 sees them. */
function serverCapabilities(lib: Bridge): Capability[] {
  const has = capabilities(lib);
  const needed: Capability[] = ["BPF", "NET_ADMIN", "NET_BIND_SERVICE", "PERFMON", "SYS_PTRACE"];
  return has("BPF") && has("PERFMON") ? needed : [...needed, "SYS_ADMIN"]; // which stands for them
}

/** The agent looks into each namespace for it, and readers may come as often as they like. */
const WAYS_MS = 5000;

/** What reads the metrics anew at every call. */
function reader(host: Host, io: Io): () => Promise<Family[]> {
  let known: Pick<AgentAnswer, "ways"> = {};
  let until = 0;
  const refresh = refresher(Object.keys(commands));
  return async () => {
    await refresh();
    const now = performance.now();
    const answer = await answerOfAgent(io, now >= until);
    if (answer?.ways) {
      known = { ways: answer.ways };
      until = now + WAYS_MS;
    }
    const scopes = host
      .states()
      .map((state) => ({ state, counters: readCounters(host.lib, state.id, state.layout) }));
    return familiesOf(scopes, answer && { ...answer, ...known });
  };
}

async function listen(where: Listen, read: () => Promise<Family[]>, io: Io): Promise<ExitCode> {
  const url = `http://${formatListen(where)}/metrics`;
  let said: string | undefined;
  await serveMetrics(
    where,
    async () => openMetrics(await read()),
    () => {
      io.json({ command, listening: formatListen(where), url });
      io.print(`listening on ${url}`);
    },
    ({ message }) => {
      if (message !== said) io.messages.warn(message); // not once per request
      said = message;
    },
  );
  return Exit.DONE;
}

export const metrics = leaf({
  summary: "The counters of all scopes and of the ACK agent in OpenMetrics text.",
  args: {
    output: {
      type: "string",
      valueHint: "FILE",
      description: "Write to this file, replaced in one step, instead of stdout",
    },
    listen: {
      type: "string",
      valueHint: "[ADDRESS:]PORT",
      description: "Serve GET /metrics over HTTP until SIGTERM or Ctrl-C; address: 127.0.0.1",
    },
    ...scopeArgs,
    ...globalArgs,
  },
  examples: [
    ["tcpx metrics", "Once, to stdout"],
    [
      "tcpx metrics --output /var/lib/prometheus/node-exporter/tcpx.prom",
      "For a node exporter's textfile directory, from a timer",
    ],
    ["tcpx metrics --listen 9101", "To be pulled: curl http://127.0.0.1:9101/metrics"],
    ["tcpx metrics --listen 10.0.0.1:9101", "On an address that others reach, because it is written out"],
  ],
  notes: [
    "Counters are per cgroup and extension, those of ACKs held back per rule; `tcpx status --help` says " +
      "what they count. They begin anew with a scope's first rule, the agent's with the agent.",
  ],
  async run(args, io) {
    const output = textArg(args, "output");
    const address = textArg(args, "listen");
    if (output !== undefined && address !== undefined) {
      throw usageError("--listen and --output exclude each other", address, "give one of them");
    }
    const where = address === undefined ? undefined : parseListen(address);
    const host = await openHost(scopeFlags(args), "read");
    const { lib } = host;
    const read = reader(host, io);
    if (where) {
      becomeConfined(lib, serverCapabilities(lib));
      return listen(where, read, io);
    }
    const families = await read();
    if (output !== undefined) {
      const file = absolutePath(output);
      if (file === undefined) {
        const hint = "give a path that begins with /";
        throw usageError(`--output '${output}': the working directory is gone`, output, hint);
      }
      writeTextfile(file, openMetrics(families));
      io.json({ command, output: file, families: familiesJson(families) });
      return Exit.DONE;
    }
    io.json({ command, families: familiesJson(families) });
    io.print(openMetrics(families).trimEnd());
    return Exit.DONE;
  },
});
