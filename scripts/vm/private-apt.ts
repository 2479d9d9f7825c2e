// SPDX-License-Identifier: MIT
// An apt of our own that looks into other suites of the host's mirrors than the host does.
//
// The host's own configuration is not touched. What its entries say stays (mirror, keys, proxies); only
// the suite differs. Signatures and expiry dates are checked as always: a suite that has expired or is
// not there is as if it did not exist.

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  formatEntry,
  hostRelease,
  ownEntries,
  parseList,
  parseSources,
  type SourceEntry,
} from "../lib/distro-sources.ts";
import { run } from "../lib/run.ts";

const SOURCES = "/etc/apt/sources.list";

async function hostEntries(): Promise<SourceEntry[]> {
  const parts = `${SOURCES}.d`;
  const names = existsSync(parts) ? (await readdir(parts)).sort() : [];
  const files = [SOURCES, ...names.map((name) => join(parts, name))].filter(existsSync);
  const parsed = files.map(async (file) => {
    const text = await readFile(file, "utf8");
    if (file.endsWith(".sources")) return parseSources(text);
    return file.endsWith(".list") ? parseList(text) : [];
  });
  return (await Promise.all(parsed)).flat();
}

/** The host's entries with these suites instead: `NAME-security` where the host has its own such suite. */
export function withSuites(entries: SourceEntry[], codename: string, suites: string[]): SourceEntry[] {
  return ownEntries(entries, codename).flatMap((entry) => {
    const wanted = suites.filter((suite) => {
      const counterpart = suite.endsWith("-security") ? `${codename}-security` : codename;
      return entry.suites.includes(counterpart);
    });
    return wanted.length > 0 ? [{ ...entry, suites: wanted }] : [];
  });
}

async function configure(root: string, entries: SourceEntry[]): Promise<void> {
  for (const dir of ["parts", "lists/partial", "cache/archives/partial"]) {
    await mkdir(join(root, dir), { recursive: true });
  }
  await writeFile(join(root, "status"), "");
  for (const [i, entry] of entries.entries()) {
    const text = formatEntry(entry).replace("Types: deb-src", "Types: deb");
    await writeFile(join(root, "parts", `${i}.sources`), text);
  }
  const transport = (await run(["apt-config", "dump"]))
    .split("\n")
    .filter((line) => /^Acquire::(https?|Force-?IPv[46]|Retries)\b/i.test(line));
  const settings = {
    "Dir::Etc::main": "/dev/null",
    "Dir::Etc::parts": "/dev/null",
    "Dir::Etc::sourcelist": "/dev/null",
    "Dir::Etc::sourceparts": `${root}/parts`,
    "Dir::Etc::preferences": "/dev/null",
    "Dir::Etc::preferencesparts": "/dev/null",
    "Dir::State::lists": `${root}/lists`,
    "Dir::State::status": `${root}/status`,
    "Dir::Cache": `${root}/cache`,
    "APT::Architecture": "amd64",
    "APT::Sandbox::User": "root",
    "Acquire::Languages": "none",
    "Acquire::AllowInsecureRepositories": "false",
    "APT::Get::AllowUnauthenticated": "false",
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key} "${value}";`);
  await writeFile(join(root, "apt.conf"), [...transport, ...lines, ""].join("\n"));
}

/** A record of apt-cache: field names as they stand there. */
export type Package = Record<string, string>;

export class PrivateApt implements AsyncDisposable {
  /** What `apt-get update` complained about, a line per suite. */
  readonly complaints: string[] = [];

  private constructor(private readonly root: string) {}

  /** Fetches the package lists of these suites; a suite that cannot be had is a complaint. */
  static async create(suites: string[]): Promise<PrivateApt> {
    const { id, codename } = await hostRelease();
    if (id !== "debian") throw new Error(`the kernels are Debian's, and this is ${id}`);
    const apt = new PrivateApt(await mkdtemp(join(tmpdir(), "tcpx-apt-")));
    await configure(apt.root, withSuites(await hostEntries(), codename, suites));
    await apt.run(["apt-get", "-q", "update", "--error-on=any"]).catch((error: Error) => {
      // Mirror names are nobody's business in a test report.
      const lines = error.message.split("\n").filter((line) => /^[EW]: /.test(line));
      const short = lines.map((line) => line.replace(/https?:\/\/\S*?(\/dists\/|(?=\s)|$)/g, ""));
      apt.complaints.push(...new Set(short));
    });
    return apt;
  }

  private run(argv: string[], cwd = this.root): Promise<string> {
    return run(argv, { cwd, env: { APT_CONFIG: join(this.root, "apt.conf") } });
  }

  /** All versions of a package, the newest first; none when it is unknown. */
  async show(name: string): Promise<Package[]> {
    const text = await this.run(["apt-cache", "show", name]).catch(() => "");
    return text
      .split("\n\n")
      .filter((stanza) => stanza.trim() !== "")
      .map((stanza) => Object.fromEntries([...stanza.matchAll(/^([\w-]+): (.*)$/gm)].map((m) => m.slice(1))));
  }

  /** Downloads and unpacks packages (`name=version`) into one folder. */
  async unpack(packages: string[], folder: string): Promise<void> {
    const debs = await mkdtemp(join(this.root, "debs-"));
    await this.run(["apt-get", "-q", "download", ...packages], debs);
    for (const deb of await readdir(debs)) await run(["dpkg-deb", "-x", join(debs, deb), folder]);
    await rm(debs, { recursive: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}
