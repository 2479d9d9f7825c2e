// SPDX-License-Identifier: MIT
// A root file system with a real systemd as process 1: Debian's packages, unpacked and not configured.
//
// No maintainer script runs, so what they would have written (users, PAM, a machine id) is written here,
// and nothing is enabled but what the packages link themselves.

import { mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cacheDir, cached } from "../lib/cache.ts";
import { Archive, complaintsIn } from "./archive.ts";

export interface SystemdRoot {
  /** systemd's version, as Debian writes it. */
  version: string;
  dir: string;
}

export interface NoSystemdRoot {
  reason: string;
}

/** The suite whose kernel it runs on (scripts/vm/kernels.ts: 6.12). */
const SUITES = ["trixie", "trixie-security"];
/** What is asked for; apt adds what these depend on. */
const PACKAGES = ["base-files", "systemd", "dbus", "libpam-systemd", "nginx", "util-linux", "iproute2"];
/** For maintainer scripts and terminals only. */
const NOT_NEEDED = /^(debconf|mawk|init-system-helpers|libsqlite3-0|libdb5\.3|openssl-provider-legacy)/;

const LOOKED_UP = join(cacheDir(), "vm", "systemd.json");
const LOOK_UP_AGAIN_MS = 24 * 3600 * 1000;

const REMOVED = [
  ...["usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/info", "usr/share/zoneinfo"],
  ...["usr/share/bash-completion", "usr/share/zsh", "usr/share/polkit-1", "usr/share/perl5"],
  ...["usr/lib/x86_64-linux-gnu/gconv", "usr/lib/systemd/catalog", "usr/lib/udev", "usr/lib/locale"],
  // gettys on the console, mounts and swap of a disk that is not there
  "usr/lib/systemd/system-generators",
];

/** The guest has no clock to set, no console to log in on, and nothing to keep for the next boot. */
const MASKED = [
  ...["systemd-journal-flush", "systemd-update-utmp", "systemd-update-utmp-runlevel", "systemd-firstboot"],
  ...["systemd-update-done", "systemd-journal-catalog-update", "systemd-hwdb-update", "systemd-sysusers"],
  ...["systemd-random-seed", "systemd-machine-id-commit", "systemd-modules-load", "ldconfig"],
  "systemd-vconsole-setup",
].map((name) => `${name}.service`);
const MASKED_PATHS = ["systemd-ask-password-console.path", "systemd-ask-password-wall.path"];

const USERS = [
  ["root", 0, "/root"],
  ["www-data", 33, "/var/www"],
  ["messagebus", 101, "/nonexistent"],
  ["ada", 1000, "/home/ada"],
  ["nobody", 65534, "/nonexistent"],
] as const;
const GROUPS = ["adm:x:4:", "tty:x:5:", "utmp:x:43:", "systemd-journal:x:102:"];

const FILES: Record<string, string> = {
  "etc/machine-id": `${"7c70".repeat(8)}\n`,
  "etc/hostname": "guest\n",
  "etc/fstab": "",
  "etc/passwd": USERS.map(([name, id, home]) => `${name}:x:${id}:${id}::${home}:/bin/sh\n`).join(""),
  "etc/shadow": USERS.map(([name]) => `${name}:*:19000::::::\n`).join(""),
  "etc/group": [...USERS.map(([name, id]) => `${name}:x:${id}:`), ...GROUPS, ""].join("\n"),
  "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
  "etc/pam.d/common-account": "account required pam_permit.so\n",
  "etc/pam.d/common-session-noninteractive": "session required pam_permit.so\n",
  "etc/pam.d/other":
    "auth required pam_deny.so\naccount required pam_deny.so\nsession required pam_deny.so\n",
  // who runs the tests ends the guest
  "etc/systemd/system/tcpx-test.service": `[Unit]
Description=Tests of tcpx
After=basic.target dbus.socket systemd-logind.service
Wants=dbus.socket

[Service]
ExecStart=/init
PassEnvironment=TCPX_GUEST TCPX_PLAN TCPX_LIMIT
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
KillMode=process
`,
};

const LINKS: Record<string, string> = {
  "etc/systemd/system/default.target": "/usr/lib/systemd/system/multi-user.target",
  "etc/systemd/system/multi-user.target.wants/tcpx-test.service": "../tcpx-test.service",
  "etc/nginx/sites-enabled/default": "../sites-available/default",
  ...Object.fromEntries(
    [...MASKED, ...MASKED_PATHS].map((name) => [`etc/systemd/system/${name}`, "/dev/null"]),
  ),
};

async function put(dir: string, make: (path: string) => Promise<unknown>): Promise<void> {
  await mkdir(dirname(dir), { recursive: true });
  await rm(dir, { recursive: true, force: true });
  await make(dir);
}

async function complete(dir: string): Promise<void> {
  for (const path of REMOVED) await rm(join(dir, path), { recursive: true, force: true });
  for (const [path, text] of Object.entries(FILES)) await put(join(dir, path), (to) => writeFile(to, text));
  for (const [path, target] of Object.entries(LINKS)) {
    await put(join(dir, path), (to) => symlink(target, to));
  }
  for (const [, , home] of USERS.slice(0, 4)) await mkdir(join(dir, home), { recursive: true });
}

interface LookUp {
  at: number;
  /** `name=version` of every package. */
  packages: string[];
}

async function remembered(): Promise<LookUp | undefined> {
  const text = await readFile(LOOKED_UP, "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as LookUp);
}

async function remember(packages: string[]): Promise<void> {
  await mkdir(dirname(LOOKED_UP), { recursive: true });
  const draft = `${LOOKED_UP}.${process.pid}`;
  await writeFile(draft, JSON.stringify({ at: Date.now(), packages } satisfies LookUp));
  await rename(draft, LOOKED_UP);
}

async function lookUp(archive: Archive): Promise<string[]> {
  const packages = (await archive.closure(PACKAGES)).filter((name) => !NOT_NEEDED.test(name));
  if (packages.length > 0) return packages;
  const why = archive.complaintAbout(SUITES);
  throw new Error(`Debian's systemd in the mirror's suites${why ? ` (${why})` : ""}`);
}

async function rootOf(packages: string[], archive?: Archive): Promise<SystemdRoot> {
  const recipe = ["1", ...packages, JSON.stringify([REMOVED, FILES, LINKS])];
  const dir = await cached("systemd-root", recipe, async (out) => {
    await using own = archive ? undefined : await Archive.create(SUITES);
    await (archive ?? own!).unpack(packages, out);
    await complete(out);
  });
  return { version: packages.find((name) => name.startsWith("systemd="))!.slice("systemd=".length), dir };
}

/** Looked up once a day; without the mirror an older one is better than none. */
export async function systemdRoot(): Promise<SystemdRoot | NoSystemdRoot> {
  const known = await remembered();
  try {
    if (known && Date.now() - known.at < LOOK_UP_AGAIN_MS) return await rootOf(known.packages);
    await using archive = await Archive.create(SUITES);
    const packages = await lookUp(archive);
    const root = await rootOf(packages, archive);
    await remember(packages);
    return root;
  } catch (error) {
    const older = known && (await rootOf(known.packages).catch(() => undefined));
    return older ?? { reason: complaintsIn(error as Error)[0] ?? (error as Error).message.split("\n")[0]! };
  }
}

if (import.meta.main) console.log(await systemdRoot());
