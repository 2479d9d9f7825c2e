// SPDX-License-Identifier: MIT
// The examples below deploy/: Ansible's tasks on this host, and the pod's script without a cluster. Both
// install a stand-in for tcpx that keeps the policy it was given.

import { expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { INSTALLER, Place, releaseOf, serve } from "../support/installer.ts";
import { until } from "../support/process.ts";
import { testIf } from "../support/requires.ts";

const DEPLOY = resolve(import.meta.dir, "../../deploy");

/** tcpx as far as the examples use it. */
const STAND_IN = `#!/bin/sh
held=$(dirname "$0")/../policy
case "$*" in
version) echo "tcpx 0.1.0" ;;
apply*)
  cat >"$held.new"
  changed=true dry=false
  ! cmp -s "$held.new" "$held" || changed=false
  case " $* " in *" --dry-run "*) dry=true ;; esac
  ! grep -q nonsense "$held.new" || { echo '{"schema":1,"error":{"code":2}}'; echo "tcpx: no" >&2; exit 2; }
  if $dry; then rm "$held.new"; else mv "$held.new" "$held"; fi
  echo "{\\"schema\\":1,\\"command\\":\\"apply\\",\\"changed\\":$changed,\\"dry_run\\":$dry}"
  ;;
*) echo text ;;
esac
`;

function release() {
  const files = releaseOf("0.1.0", STAND_IN);
  files.set("0.1.0/install.sh", readFileSync(INSTALLER));
  return serve(files);
}

const policyOf = (place: Place) => {
  const file = join(place.prefix, "policy");
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
};

const ansible = Bun.which("ansible-playbook") !== null;

testIf(ansible, "the program ansible-playbook")(
  "Ansible installs and applies once, checks, refuses",
  async () => {
    using place = new Place();
    using server = release();
    const policy = join(place.root, "policy.toml");
    writeFileSync(policy, "one\n");
    const playbook = async (...more: string[]) => {
      const vars = {
        ansible_python_interpreter: "/usr/bin/python3",
        ansible_become: false,
        tcpx_base_url: server.url,
        tcpx_prefix: place.prefix,
        tcpx_installer: join(place.root, "installer"),
        tcpx_policy: policy,
      };
      const flags = ["-i", "localhost,", "-c", "local", "-e", JSON.stringify(vars), ...more];
      const child = Bun.spawn(["ansible-playbook", ...flags, join(DEPLOY, "ansible/site.yml")], {
        env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", HOME: place.root, LANG: "C.UTF-8", TMPDIR: place.tmp },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        timeout: 60_000,
      });
      const [out] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
      const count = (word: string) => Number(out.match(new RegExp(`${word}=(\\d+)`))?.[1] ?? -1);
      return { changed: count("changed"), failed: count("failed"), out };
    };

    expect(await playbook("--check")).toMatchObject({ failed: 0 });
    expect(policyOf(place)).toBeUndefined();
    expect(await playbook()).toMatchObject({ changed: 2, failed: 0 });
    expect(policyOf(place)).toBe("one\n");
    expect(await playbook()).toMatchObject({ changed: 0, failed: 0 });
    writeFileSync(policy, "two\n");
    expect(await playbook("--check")).toMatchObject({ changed: 1, failed: 0 });
    expect(policyOf(place)).toBe("one\n");
    writeFileSync(policy, "nonsense\n");
    expect(await playbook()).toMatchObject({ changed: 0, failed: 1 });
    expect(policyOf(place)).toBe("one\n");
  },
  240_000,
);

interface Manifest {
  kind: string;
  metadata: { name: string };
  data?: Record<string, string>;
  spec?: { template: { spec: { containers: { args: string[]; command: string[] }[] } } };
}

function manifests(): Manifest[] {
  return Bun.YAML.parse(readFileSync(join(DEPLOY, "kubernetes/tcpx.yaml"), "utf8")) as Manifest[];
}

test("the pod's script installs, applies what the ConfigMap has, and is ready only then", async () => {
  using place = new Place();
  using server = release();
  const container = manifests().find(({ kind }) => kind === "DaemonSet")!.spec!.template.spec.containers[0]!;
  const policy = join(place.root, "policy.toml");
  const applied = join(place.root, "applied");
  // No minute passes between two rounds; nsenter stays where it is.
  const script = container.args[0]!.replaceAll("/policy/policy.toml", `"${policy}"`)
    .replaceAll("/tmp/applied", `"${applied}"`)
    .replace("sleep 60", "sleep 0.1");
  const options = '[ "$1 $2 $3 $4 $5 $6" = "-t 1 -m -u -i -n" ] || exit 9';
  const nsenter = place.script(
    "nsenter",
    `${options}\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"`,
  );
  writeFileSync(policy, "one\n");
  const child = Bun.spawn(["dash", ...container.command.slice(1), script], {
    env: {
      PATH: `${nsenter}:/usr/bin:/bin`,
      HOME: place.root,
      TMPDIR: place.tmp,
      TCPX_BASE_URL: server.url,
      TCPX_VERSION: "0.1.0",
      TCPX_PREFIX: place.prefix,
    },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  try {
    expect(await until(() => existsSync(applied) && policyOf(place) === "one\n", 30_000)).toBe(true);
    writeFileSync(policy, "two\n");
    expect(await until(() => policyOf(place) === "two\n", 30_000)).toBe(true);
    writeFileSync(policy, "nonsense\n");
    expect(await until(() => !existsSync(applied), 30_000)).toBe(true);
    expect(policyOf(place)).toBe("two\n");
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
});

test("the manifest holds what the DaemonSet asks for", () => {
  const all = manifests();
  expect(all.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([
    "Namespace tcpx",
    "ConfigMap tcpx-policy",
    "DaemonSet tcpx",
  ]);
  expect(Object.keys(all[1]!.data!)).toEqual(["policy.toml"]);
});
