// SPDX-License-Identifier: MIT
// The kernels of the VM ring: the newest of each series that Debian has, looked up, not hard-coded.

import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { cacheDir, cached } from "../lib/cache.ts";
import { run } from "../lib/run.ts";
import { Archive, complaintsIn } from "./archive.ts";

export interface Kernel {
  series: string;
  /** Debian's version, such as 6.1.192-2. */
  version: string;
  /** What `uname -r` says. */
  release: string;
  /** Folder with `vmlinuz` and `modules/`. */
  dir: string;
}

export interface Missing {
  series: string;
  reason: string;
}

/** The oldest kernel that tcpx claims to work on, Debian's stable ones, and the newest there is. */
const SERIES = [
  { series: "5.10", version: /^5\.10\./, suites: ["bullseye", "bullseye-security"] },
  { series: "6.1", version: /^6\.1\./, suites: ["bookworm", "bookworm-security"] },
  { series: "6.12", version: /^6\.12\./, suites: ["trixie", "trixie-security"] },
  // backports: a mirror that stands still serves an expired sid, which apt refuses
  { series: "7.x", version: /^7\./, suites: ["sid", "trixie-backports"] },
] as const;
type Series = (typeof SERIES)[number];

const META = "linux-image-cloud-amd64";

/** Devices and queues of the lab, and what `cc-request` has loaded. */
const MODULES = /^(veth|tun|sch_netem|sch_fq|tcp_[a-z]+)\.ko(\.xz|\.zst)?$/;

const LOOKED_UP = join(cacheDir(), "vm", "kernels.json");
const LOOK_UP_AGAIN_MS = 24 * 3600 * 1000;

async function filesBelow(dir: string, name: RegExp): Promise<string[]> {
  const all = existsSync(dir) ? await readdir(dir, { recursive: true }) : [];
  return all.filter((path) => name.test(basename(path))).map((path) => join(dir, path));
}

/** Uncompressed, where `depmod` and the guest's busybox expect it. */
async function copyModule(from: string, dir: string): Promise<void> {
  const to = join(dir, basename(from).replace(/\.(xz|zst)$/, ""));
  const tool = from.endsWith(".xz") ? "xz -dc" : from.endsWith(".zst") ? "zstd -qdc" : "cat";
  await run(["sh", "-c", `${tool} "$0" >"$1"`, from, to]);
}

async function extract(unpacked: string, release: string, out: string): Promise<void> {
  const [image] = await filesBelow(unpacked, /^vmlinuz/);
  if (!image) throw new Error(`the packages of ${release} hold no kernel`);
  const modules = join(out, "modules");
  const dir = join(modules, "lib/modules", release);
  await mkdir(dir, { recursive: true });
  for (const path of await filesBelow(unpacked, MODULES)) await copyModule(path, dir);
  await run(["busybox", "depmod", "-b", modules, release]);
  await rename(image, join(out, "vmlinuz"));
}

/** Newer kernels come in parts: image, binary, modules. */
async function partsOf(archive: Archive, release: string, version: string): Promise<string[]> {
  const image = `linux-image-${release}`;
  const record = (await archive.show(image)).find(({ Version }) => Version === version);
  if (!record) throw new Error(`${image} ${version} is not in the archive`);
  const depends = (record.Depends ?? "").split(/[,|]\s*/).map((word) => word.split(" ")[0]!);
  const parts = depends.filter((name) => /^linux-(binary|modules)-/.test(name) && name.endsWith(release));
  return [image, ...parts].map((name) => `${name}=${version}`);
}

async function fetchKernel(archive: Archive, { series, version, suites }: Series): Promise<Kernel | Missing> {
  const record = (await archive.show(META)).find(({ Version }) => version.test(Version ?? ""));
  const release = record?.Depends?.match(/\blinux-image-(\d[^\s,]*)/)?.[1];
  if (!record?.Version || !release) {
    const why = archive.complaintAbout(suites);
    return { series, reason: `a ${series} cloud kernel in the mirror's suites${why ? ` (${why})` : ""}` };
  }
  const found = { series, version: record.Version, release };
  const recipe = ["1", release, record.Version, MODULES.source];
  try {
    const dir = await cached(`kernel-${release}`, recipe, async (out) => {
      const unpacked = join(out, ".unpacked");
      await archive.unpack(await partsOf(archive, release, found.version), unpacked);
      await extract(unpacked, release, out);
      await rm(unpacked, { recursive: true });
    });
    return { ...found, dir };
  } catch (error) {
    const [why = (error as Error).message.split("\n")[0]] = complaintsIn(error as Error);
    return { series, reason: `a download of ${release} (${why})` };
  }
}

interface LookUp {
  at: number;
  kernels: Kernel[];
}

/** The last look-up, as far as its kernels are still in the cache. */
async function remembered(): Promise<LookUp> {
  const text = await readFile(LOOKED_UP, "utf8").catch(() => '{"at":0,"kernels":[]}');
  const { at, kernels } = JSON.parse(text) as LookUp;
  return { at, kernels: kernels.filter(({ dir }) => existsSync(join(dir, "vmlinuz"))) };
}

async function remember(kernels: Kernel[]): Promise<void> {
  await mkdir(dirname(LOOKED_UP), { recursive: true });
  const draft = `${LOOKED_UP}.${process.pid}`;
  await writeFile(draft, JSON.stringify({ at: Date.now(), kernels } satisfies LookUp));
  await rename(draft, LOOKED_UP);
}

async function lookUp(): Promise<(Kernel | Missing)[]> {
  await using archive = await Archive.create(SERIES.flatMap(({ suites }) => [...suites]));
  const found: (Kernel | Missing)[] = [];
  for (const series of SERIES) found.push(await fetchKernel(archive, series));
  for (const complaint of archive.complaints) console.log(`apt: ${complaint}`);
  return found;
}

/** One per series. Kernels are looked up once a day, or whenever one is missing. */
export async function kernels(): Promise<(Kernel | Missing)[]> {
  const known = await remembered();
  const all = SERIES.every(({ series }) => known.kernels.some((kernel) => kernel.series === series));
  if (all && Date.now() - known.at < LOOK_UP_AGAIN_MS) return known.kernels;
  const found = await lookUp().catch((error: Error): (Kernel | Missing)[] =>
    SERIES.map(({ series }) => ({ series, reason: error.message.split("\n")[0]! })),
  );
  // Without the mirror an older look-up is better than none.
  const best = found.map(
    (entry) => ("dir" in entry ? entry : known.kernels.find((k) => k.series === entry.series)) ?? entry,
  );
  if (found.some((entry) => "dir" in entry)) await remember(best.filter((entry) => "dir" in entry));
  return best;
}

if (import.meta.main) console.log(await kernels());
