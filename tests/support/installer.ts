// SPDX-License-Identifier: MIT
// install.sh as `curl | sh` runs it: a release on a loopback server, a PATH of its own, a prefix to look at.
import { createHash } from "node:crypto";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { sha256, sumsText } from "../../scripts/release/sums.ts";

export const INSTALLER = resolve(import.meta.dir, "../../install.sh");

/** What the installer may use of a host, besides what downloads: no more than this. */
export const TOOLS = [
  ...["cat", "chmod", "cmp", "cut", "dirname", "env", "grep", "gzip", "head", "id", "ldd", "ls"],
  ...["mkdir", "mktemp", "mv", "readlink", "rm", "rmdir", "sed", "sh", "sha256sum", "sort", "tail"],
  ...["tee", "tr", "true", "uname"],
];

/** In place of tcpx, for all but its size: says which version it is, and does what it is told. */
export function standIn(version: string, kilobytes = 200): string {
  // Hashes, which do not pack well.
  const line = (_: unknown, i: number) => `# ${sha256(`${version} ${i}`)}\n`;
  const padding = Array.from({ length: kilobytes * 15 }, line).join("");
  return `#!/bin/sh
case "$*" in
version) echo "tcpx ${version}" ;;
reset) echo reset >>"$\{0%/*}/../was-reset" ;;
"persist off") echo off >>"$\{0%/*}/../was-off" ;;
*) echo "$* of ${version}" ;;
esac
exit
${padding}`;
}

export type Files = Map<string, Uint8Array>;

/** The files of a release with this executable for every target, by their path below the base URL. */
export function releaseOf(version: string, executable = standIn(version)): Files {
  const files: Files = new Map();
  const sums = new Map<string, string>();
  const bytes = Buffer.from(executable);
  const packed = Bun.gzipSync(bytes);
  for (const target of ["x64", "x64-musl", "arm64", "arm64-musl"]) {
    sums.set(`tcpx-linux-${target}`, sha256(bytes)).set(`tcpx-linux-${target}.gz`, sha256(packed));
    files.set(`${version}/tcpx-linux-${target}.gz`, packed);
  }
  files.set(`${version}/SHA256SUMS`, Buffer.from(sumsText(sums)));
  files.set("latest", Buffer.from(`${version}\n`));
  return files;
}

/** Serves these files, as they are at the time of a request, or a folder. */
export function serve(files: Files | string) {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const path = new URL(request.url).pathname.slice(1);
      if (typeof files === "string") return new Response(Bun.file(join(files, path)));
      const body = files.get(path);
      return body ? new Response(body) : new Response("<html>not found</html>", { status: 404 });
    },
  });
  return { url: `http://127.0.0.1:${server.port}`, [Symbol.dispose]: () => void server.stop(true) };
}

/** Promises a file of 100 kB and breaks off after a half, whatever is asked for. */
export function serveHalves() {
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket) {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n${"0.1.0\n".repeat(8000)}`);
        socket.end();
      },
    },
  });
  return { url: `http://127.0.0.1:${server.port}`, [Symbol.dispose]: () => server.stop(true) };
}

export interface Ended {
  code: number;
  out: string;
  err: string;
  /** The lines that say what went wrong. */
  errors: string[];
}

export interface Start {
  args?: string[];
  env?: Record<string, string>;
  shell?: string[];
  /** The programs that download, of what is on this host; default: curl. */
  downloaders?: string[];
  /** Commands before the shell: a user, a namespace. */
  before?: string[];
  script?: string;
  /** The whole PATH, instead of one with TOOLS and downloaders. */
  path?: string;
  /** Where it is called; default: the root of the place. */
  cwd?: string;
}

/** A place for one test: prefix, temporary folder, home; nothing of it is left. */
export class Place {
  readonly root = mkdtempSync(join(tmpdir(), "tcpx install "));
  readonly prefix = join(this.root, "pre fix");
  readonly tmp = join(this.root, "tmp");

  constructor() {
    chmodSync(this.root, 0o755);
    mkdirSync(this.tmp);
    chmodSync(this.tmp, 0o1777);
  }

  /** A folder with links to programs of the host, for a PATH. */
  tools(name: string, programs: readonly string[]): string {
    const folder = join(this.root, name);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    for (const program of programs) {
      const found = Bun.which(program, { PATH: "/usr/bin:/bin:/usr/sbin:/sbin" });
      if (!found) throw new Error(`${program} is not on this host`);
      symlinkSync(found, join(folder, program));
    }
    return folder;
  }

  /** A folder with one shell script in it, for the beginning of a PATH. */
  script(name: string, text: string): string {
    const folder = mkdtempSync(join(this.root, "script-"));
    chmodSync(folder, 0o755);
    writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    return folder;
  }

  /** Pipes install.sh into a shell. */
  async install(url: string, start: Start = {}): Promise<Ended> {
    const { args = [], shell = ["dash"] } = start;
    const interpreter = shell.map((word, i) => (i === 0 ? (Bun.which(word) ?? word) : word));
    return this.call(url, [...interpreter, "-s", "--", ...args], start);
  }

  /** Runs this command, with install.sh on its standard input. */
  async call(url: string, call: string[], start: Start = {}): Promise<Ended> {
    const { downloaders = ["curl"], before = [] } = start;
    const path = start.path ?? this.tools("tools", [...TOOLS, ...downloaders]);
    const child = Bun.spawn([...before, "env", `PATH=${path}`, ...call], {
      cwd: start.cwd ?? this.root,
      env: {
        PATH: "/usr/bin:/bin:/usr/sbin:/sbin",
        HOME: this.root,
        TMPDIR: this.tmp,
        TCPX_PREFIX: this.prefix,
        TCPX_CACHE_DIR: join(this.root, "cache"),
        TCPX_BASE_URL: url,
        ...start.env,
      },
      stdin: Buffer.from(start.script ?? readFileSync(INSTALLER, "utf8")),
      stdout: "pipe",
      stderr: "pipe",
      timeout: 60_000,
    });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    const errors = err.split("\n").filter((line) => line !== "" && !/^install: (?!error: )/.test(line));
    return { code, out, err, errors };
  }

  /**
   * A folder that would pass for a checkout of tcpx, whose build needs no compiler's time. All that is run of it
   * writes the user's number into the file `ran` beside it.
   */
  checkout(options: { folder?: string; manager?: string; version?: string } = {}): string {
    const {
      folder = join(this.root, "check out"),
      manager = `bun@${Bun.version}`,
      version = "0.1.0",
    } = options;
    mkdirSync(folder);
    writeFileSync(join(folder, "install.sh"), readFileSync(INSTALLER), { mode: 0o755 });
    writeFileSync(join(folder, "stand-in"), standIn(version), { mode: 0o755 });
    const ran = `id -u >>'${join(this.root, "ran")}'`;
    const build = `${ran} && mkdir -p dist && cp stand-in dist/tcpx`;
    const scripts = { preinstall: ran, build };
    const about = { name: "tcpx", version, packageManager: manager, scripts };
    writeFileSync(join(folder, "package.json"), JSON.stringify(about, null, 2));
    writeFileSync(join(this.root, "ran"), "");
    chmodSync(join(this.root, "ran"), 0o666);
    return folder;
  }

  /** The users as whom something of a checkout was run, in order. */
  ran(): string[] {
    return readFileSync(join(this.root, "ran"), "utf8").split("\n").slice(0, -1);
  }

  /** Everything below the prefix, or another folder: names, modes and contents. */
  snapshot(folder = this.prefix): Record<string, string> {
    const seen: Record<string, string> = {};
    for (const name of existing(folder).sort()) {
      const path = join(folder, name);
      const { mode, ino } = lstatSync(path);
      const folderOrHash = lstatSync(path).isDirectory() ? "folder" : hash(path);
      seen[name] = `${(mode & 0o7777).toString(8)} ${ino} ${folderOrHash}`;
    }
    return seen;
  }

  /** What was left in the temporary folder. */
  leftovers(): string[] {
    return readdirSync(this.tmp);
  }

  read(name: string): string {
    return readFileSync(join(this.prefix, name), "utf8");
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

function hash(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

function existing(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true }) as string[];
  } catch {
    return [];
  }
}
