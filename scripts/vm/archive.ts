// SPDX-License-Identifier: MIT
// Debian's archive in other suites than the host's own, from the host's mirrors.
//
// What the host's entries say stays (mirror, keys, proxies); only the suite differs. A suite that has
// expired or is not there is as if it did not exist.

import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostEntries, hostRelease, ownEntries, privateApt, type SourceEntry } from "../lib/private-apt.ts";
import { run } from "../lib/run.ts";

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

/** What apt says in an error, without the mirror's name: that is nobody's business in a test report. */
export function complaintsIn(error: Error): string[] {
  const lines = error.message.split("\n").filter((line) => /^[EW]: /.test(line));
  const short = lines.map((line) => line.replace(/https?:\/\/\S*?(\/dists\/|(?=\s)|$)/g, ""));
  return [...new Set(short.map((line) => line.replace(/\s+/g, " ").trim()))];
}

/** A record of apt-cache: field names as they stand there. */
export type Package = Record<string, string>;

export class Archive implements AsyncDisposable {
  /** What `apt-get update` complained about, a line per suite. */
  readonly complaints: string[] = [];

  private constructor(
    private readonly root: string,
    private readonly env: Record<string, string>,
  ) {}

  /** Fetches the package lists of these suites; a suite that cannot be had is a complaint. */
  static async create(suites: string[], architecture = "amd64"): Promise<Archive> {
    const { id, codename } = await hostRelease();
    if (id !== "debian" || !codename) throw new Error(`these packages are Debian's, and this is ${id}`);
    const entries = withSuites(await hostEntries(), codename, suites);
    const root = await mkdtemp(join(tmpdir(), "tcpx-apt-"));
    const env = await privateApt(root, entries, "deb", { "APT::Architecture": architecture });
    const archive = new Archive(root, env);
    await archive.run(["apt-get", "-q", "update", "--error-on=any"]).catch((error: Error) => {
      archive.complaints.push(...complaintsIn(error));
    });
    return archive;
  }

  /** Why these suites, or one of them, may not be here. */
  complaintAbout(suites: readonly string[]): string | undefined {
    return this.complaints.find((line) => suites.some((suite) => line.includes(` ${suite}/`)));
  }

  private run(argv: string[], cwd = this.root): Promise<string> {
    return run(argv, { cwd, env: this.env });
  }

  /** All versions of a package, the newest first; none when it is unknown. */
  async show(name: string): Promise<Package[]> {
    const text = await this.run(["apt-cache", "show", name]).catch(() => "");
    return text
      .split("\n\n")
      .filter((stanza) => stanza.trim() !== "")
      .map((stanza) => Object.fromEntries([...stanza.matchAll(/^([\w-]+): (.*)$/gm)].map((m) => m.slice(1))));
  }

  /** These packages and what they depend on, each as `name=version`; none when one of them is not there. */
  async closure(packages: string[]): Promise<string[]> {
    const argv = ["apt-get", "-q", "install", "--simulate", "--no-install-recommends", ...packages];
    const text = await this.run(argv).catch(() => "");
    return [...text.matchAll(/^Inst (\S+) \((\S+) /gm)].map(([, name, version]) => `${name}=${version}`);
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
