// SPDX-License-Identifier: MIT
// What is shown of rules: of many as quickly as of few, and for whom it is shown. Terminals are those of script(1).
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, every, labRequirement, ptyRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

const SHOWN = [["uto", "show"], ["status"], ["reset", "--dry-run"], ["uto", "unset", "--all", "--dry-run"]];
const requirement = every("show", labRequirement, ptyRequirement);

describeIf(requirement.ok, requirement.reason)("rules that are shown", () => {
  let lab: Lab;
  let host: PrivateHost;

  beforeAll(async () => {
    lab = await Lab.create();
    host = await PrivateHost.create(lab);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  describe("many of them", () => {
    const TO = (i: number) => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;

    async function withRules(count: number): Promise<{ host: PrivateHost; cgroup: string }> {
      const [own, cgroup] = [await PrivateHost.create(lab), lab.cgroup(`rules${count}`)];
      const rules = Array.from({ length: count }, (_, i) => `[[scope.uto]]\nset = "30s"\nto = "${TO(i)}"\n`);
      const file = join(lab.dir, `${count}.toml`);
      writeFileSync(file, `[[scope]]\ncgroup = "${cgroup}"\n${rules.join("")}`);
      await own.ok(["apply", file]);
      return { host: own, cgroup };
    }

    async function timed(where: { host: PrivateHost; cgroup: string }, args: string[]) {
      const scoped = args.includes("unset") ? [...args, "--cgroup", where.cgroup] : args;
      const start = performance.now();
      const done = await where.host.ok(scoped, { timeoutMs: 60_000 });
      return { ms: performance.now() - start, lines: done.stdout.split("\n").length, text: done.stdout };
    }

    test("take eight times as long as an eighth, not sixty-four times", async () => {
      const [few, many] = [await withRules(1000), await withRules(8000)];
      for (const args of SHOWN) {
        for (const flags of [[], ["--json"]]) {
          const [short, long] = [
            await timed(few, [...args, ...flags]),
            await timed(many, [...args, ...flags]),
          ];
          // quadratic, they took 10 to 23 s; a loaded machine may stop any one of them for a while
          expect(long.ms, args.join(" ")).toBeLessThan(10 * short.ms + 6000);
          if (flags.length > 0) expect(JSON.parse(long.text).schema).toBeGreaterThan(0);
          else expect(long.lines - short.lines).toBe(2 * 7000); // ask and local
        }
      }
    }, 120_000);
  });

  describe("whoever reads them", () => {
    const LONG = "2001:db8:1111:2222:3333:4444:5555:6666";
    const WIDE = "日本語のグループ";
    let inner: string;

    beforeAll(async () => {
      const outer = lab.cgroup("outer");
      inner = lab.cgroup(`outer/${WIDE}`);
      await host.ok(["uto", "set", "30s", "--to", LONG, "--port", "443", "--cgroup", outer]);
      await host.ok(["uto", "set", "1h", "--to", "10.0.0.0/8", "--cgroup", inner]);
      await host.ok(["iw", "accept", "--max", "30", "--from", LONG, "--cgroup", inner]);
      await host.ok(["cc-request", "set", "reno", "--to", LONG, "--cgroup", inner]);
      await host.ok(["ack", "set", "--delay", "20ms", "--cgroup", inner]);
    });

    /** Lines on a terminal of so many columns. */
    async function seen(columns: number, args: string, preferred = ""): Promise<string[]> {
      const command = `stty cols ${columns} rows 24; ${preferred} NO_COLOR=1 ${tcpxPath()} ${args}`;
      const text = await host.sh(`env -u COLUMNS TERM=xterm script -qec '${command}' /dev/null </dev/null`);
      return text.trimEnd().split(/\r*\n/);
    }

    const widest = (lines: string[]) => Math.max(...lines.map((line) => Bun.stringWidth(line)));
    const tables = ["uto show", "cc-request show", "iw show", "ack show", "reset --dry-run"];

    test("without a terminal a row is a line, and awk finds the columns", async () => {
      for (const args of [...tables, "status"]) {
        const { stdout } = await host.ok(args.split(" "), { env: { COLUMNS: "20" } });
        expect(stdout).toMatch(/^[\n -~\u3000-\u9fff]*$/); // no lines are drawn, nothing is coloured
        for (const line of stdout.split("\n").filter((text) => /^(uto|cc-request|iw|ack) /.test(text))) {
          expect(line.split(/ {2,}/).length).toBe(args === "status" ? 5 : 6);
        }
      }
      const { stdout } = await host.ok(["uto", "show"]);
      const [head = "", ...rows] = stdout.trimEnd().split("\n");
      expect(head.split(/ {2,}/)).toEqual(["EXT", "KIND", "VALUE", "SELECTOR", "NETNS", "SCOPE"]);
      expect(rows).toHaveLength(4);
      expect(rows.filter((row) => row.includes(LONG) && row.includes("--port 443"))).toHaveLength(2);
    });

    test("on a wide terminal, too", async () => {
      for (const args of tables) {
        const lines = await seen(200, args);
        expect(lines).toEqual((await host.ok(args.split(" "))).stdout.trimEnd().split("\n"));
      }
      expect(widest(await seen(200, "uto show"))).toBeGreaterThan(80);
      expect(await seen(80, "uto show", "COLUMNS=200")).toEqual(await seen(200, "uto show"));
    });

    test("on a narrow one only a word can be wider than it is, and all of it is there", async () => {
      const words = (text: string) => text.split(/\s+/).filter((word) => !/^[A-Z]*$/.test(word));
      for (const args of [...tables, "doctor"]) {
        const all = words((await host.ok(args.split(" "))).stdout.split("\n\n")[0]!).sort();
        for (const columns of [80, 60, 40, 20]) {
          const [text = ""] = (await seen(columns, args)).join("\n").split("\n\n");
          const wide = text.split("\n").filter((line) => Bun.stringWidth(line) > columns);
          expect(wide.filter((line) => /\S\s+\S/.test(line))).toEqual([]);
          if (args !== "doctor") expect(words(text).sort()).toEqual(all); // its findings change
        }
      }
      expect((await seen(20, "uto show")).some((line) => line.includes(WIDE))).toBe(true);
    });

    test("help is as wide as the terminal", async () => {
      expect(widest(await seen(200, "--help"))).toBeLessThanOrEqual(100);
      expect(
        widest((await seen(40, "uto set --help")).filter((line) => !line.includes("tcpx"))),
      ).toBeLessThanOrEqual(46);
    });
  });
});
