// SPDX-License-Identifier: MIT
// A release as a folder that any web server can serve:
//
//   install.sh, latest                               the newest one, and its version
//   VERSION/tcpx-linux-TARGET.gz, LICENCES.txt, SHA256SUMS, install.sh
//
// Nothing in it tells where, when or by whom it was made: the same sources, compilers and source
// packages give the same bytes.

import {
  chmod,
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { buildParts, compile } from "../build.ts";
import type { Arch, Target } from "../lib/targets.ts";
import { withReleasesUrl } from "./installer.ts";
import { runtimeFor } from "./runtimes.ts";
import { sha256, sumsText } from "./sums.ts";

const ROOT = resolve(import.meta.dir, "../..");

export interface Plan {
  targets: readonly Target[];
  out: string;
  /** Where it will be published, for install.sh. */
  baseUrl: string | undefined;
  /** Tries an executable; returns what is to be told about it. */
  check(executable: string, target: Target): Promise<string>;
  say(line: string): void;
}

/** The sources with the parts for one architecture; a checkout's own build/ is for its host. */
async function stage(arch: Arch, root: string): Promise<void> {
  await mkdir(root);
  for (const file of ["package.json", "tsconfig.json", "LICENSE"]) {
    await copyFile(join(ROOT, file), join(root, file));
  }
  await cp(join(ROOT, "cli"), join(root, "cli"), { recursive: true });
  await symlink(join(ROOT, "node_modules"), join(root, "node_modules"));
  await buildParts(root, arch);
}

/** Compiles, tries and packs one executable; returns the sums of what a host gets to see of it. */
async function pack(target: Target, staged: string, folder: string, plan: Plan): Promise<[string, string][]> {
  const name = `tcpx-linux-${target.name}`;
  const made = join(staged, "made", target.name, "tcpx");
  await compile(staged, made, { target: target.bun, path: await runtimeFor(target) });
  const told = await plan.check(made, target);
  const executable = await readFile(made);
  // No name and no time in the header. gzip, because every host has it.
  const packed = Bun.gzipSync(executable, { library: "libdeflate", level: 9 });
  await writeFile(join(folder, `${name}.gz`), packed);
  await rm(made);
  const megabytes = (size: number) => (size / 1e6).toFixed(1);
  plan.say(`${name}: ${megabytes(executable.length)} MB, packed ${megabytes(packed.length)} MB; ${told}`);
  return [
    [name, sha256(executable)],
    [`${name}.gz`, sha256(packed)],
  ];
}

async function publish(made: string, version: string, out: string): Promise<void> {
  await mkdir(out, { recursive: true });
  await rm(join(out, version), { recursive: true, force: true });
  await rename(made, join(out, version));
  await copyFile(join(out, version, "install.sh"), join(out, "install.sh"));
  await writeFile(join(out, "latest"), `${version}\n`);
}

/** Builds the release of this checkout; returns its version. */
export async function assemble(plan: Plan): Promise<string> {
  const { version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  const work = await mkdtemp(join(tmpdir(), "tcpx-release-"));
  await mkdir(plan.out, { recursive: true });
  const folder = await mkdtemp(join(plan.out, ".new-"));
  await chmod(folder, 0o755);
  try {
    const sums = new Map<string, string>();
    for (const arch of new Set(plan.targets.map((target) => target.arch))) {
      const staged = join(work, arch);
      await stage(arch, staged);
      for (const target of plan.targets.filter((one) => one.arch === arch)) {
        for (const [name, sum] of await pack(target, staged, folder, plan)) sums.set(name, sum);
      }
      await copyFile(join(staged, "build/licences.txt"), join(folder, "LICENCES.txt"));
    }
    const script = await readFile(join(ROOT, "install.sh"), "utf8");
    const installer = plan.baseUrl ? withReleasesUrl(script, plan.baseUrl) : script;
    await writeFile(join(folder, "install.sh"), installer);
    await chmod(join(folder, "install.sh"), 0o755);
    for (const name of ["LICENCES.txt", "install.sh"]) {
      sums.set(name, sha256(await readFile(join(folder, name))));
    }
    await writeFile(join(folder, "SHA256SUMS"), sumsText(sums));
    await publish(folder, version, plan.out);
  } finally {
    await rm(work, { recursive: true, force: true });
    await rm(folder, { recursive: true, force: true });
  }
  return version;
}
