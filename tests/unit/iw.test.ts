// SPDX-License-Identifier: MIT
// `tcpx iw`: from arguments to rules, and from rules to text; and the same by the manifest of a package, as far as a
// manifest can say it: notices about this host's settings are TypeScript, and a number has the name of its flag in JSON.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { checkArguments } from "../../cli/base/args.ts";
import { iw } from "../../cli/extensions/iw.ts";
import { FIRST_SLOT } from "../../cli/extensions/slots.ts";
import { extensionFrom } from "../../cli/manifest/extension.ts";
import { readManifest } from "../../cli/manifest/read.ts";

const MANIFEST = join(import.meta.dir, "../support/packages/first-window/extension.toml");
const firstWindow = extensionFrom(readManifest(readFileSync(MANIFEST, "utf8"), MANIFEST), FIRST_SLOT);

/** The built-in one, and the one that is a package. */
const WINDOWS = [
  { extension: iw, noun: "a number of segments", hasNotices: true, most: "max_segments", ask: "fe067c10" },
  { extension: firstWindow, noun: "a whole number", hasNotices: false, most: "max", ask: "fe067d10" },
];

const refused = (details: object) => expect.objectContaining({ name: "TcpxError", code: 2, ...details });
const EXEMPT = { none: true, force: false, value: [0, 0] };
const WRONG = [
  "",
  "0",
  "00",
  "1025",
  "ten",
  "1e3",
  "1E3",
  "-5",
  "+5",
  "4.0",
  "0x10",
  " 40",
  "40 ",
  "9".repeat(20),
];
const segments = fc.integer({ min: 1, max: 1024 });

const forgets = readFileSync("/proc/sys/net/ipv4/tcp_slow_start_after_idle", "utf8").trim() !== "0";
/** What is said of a window that the kernel does not keep: more than its own. */
const idle = (n: number) =>
  n > 10 && forgets
    ? [
        expect.stringMatching(
          /^once data was sent, after a pause .* 10 segments, .* initcwnd N, or sysctl .*slow_start_after_idle=0$/,
        ),
      ]
    : [];

describe("our own receive window, of iw", () => {
  const set = (args: Record<string, unknown>) => iw.verbs.set!.draft(args);
  const accept = (args: Record<string, unknown>) => iw.verbs.accept!.draft(args);
  const TCP_RMEM = "/proc/sys/net/ipv4/tcp_rmem";
  const bytes = Number(readFileSync(TCP_RMEM, "utf8").split(/\s+/)[1]);
  /** Half of the buffer is for overhead; whole segments of Ethernet. */
  const admitted = Math.floor(bytes / 2 / 1460);
  const notices = (n: number) => set({ segments: String(n) }).notices;

  test.skipIf(admitted < 1 || admitted >= 1024)("is named with what to change, when it is too small", () => {
    expect(notices(admitted)).toEqual([]);
    fc.assert(
      fc.property(fc.integer({ min: admitted + 1, max: 1024 }), (n) => {
        const [text, ...more] = notices(n);
        expect(more).toEqual([]);
        expect(text).toContain(
          `about ${admitted} segments in the first flight, so ${n} acts like ${admitted}`,
        );
        const needed = Number(/second value of net\.ipv4\.tcp_rmem to (\d+)$/.exec(text!)?.[1]);
        expect(Math.floor(needed / 2 / 1460)).toBe(n);
        expect(needed).toBeGreaterThan(bytes);
      }),
    );
  });

  test("has nothing to do with what we send, or grant", () => {
    expect(set({ segments: "1024", local: true }).notices).toEqual(idle(1024));
    expect(accept({ max: "1024" }).notices).toEqual(idle(1024));
    expect(notices(1)).toEqual([]);
  });
});

describe.each(WINDOWS)("$extension.name", ({ extension, noun, hasNotices, most, ask }) => {
  const set = (args: Record<string, unknown>) => extension.verbs.set!.draft(args);
  const accept = (args: Record<string, unknown>) => extension.verbs.accept!.draft(args);
  const noticesOf = (n: number) => (hasNotices ? idle(n) : []);
  /** A manifest's values have a word each. */
  const limit = (n: number) => (extension === iw ? ([n, 0] as const) : ([0, n] as const));
  const wrong = (what: string, text: string) =>
    hasNotices
      ? `${what} '${text}' is not ${noun}`
      : expect.stringMatching(
          new RegExp(`^${what} '${RegExp.escape(text)}' is (?:not ${noun}|out of range)$`),
        );

  describe("set", () => {
    test("1 to 1024 segments, asked for or our own", () => {
      fc.assert(
        fc.property(segments, (n) => {
          const plain = { none: false, force: false, value: [n, 0] as const };
          expect(set({ segments: String(n) }).drafts).toEqual([{ kind: "ask", ...plain }]);
          expect(set({ segments: String(n), local: true })).toEqual({
            drafts: [{ kind: "local", ...plain }],
            notices: noticesOf(n),
          });
        }),
      );
    });

    test("none exempts one kind", () => {
      expect(set({ segments: "none" })).toEqual({
        drafts: [{ kind: "ask", ...EXEMPT } as never],
        notices: [],
      });
      expect(set({ segments: "none", local: true })).toEqual({
        drafts: [{ kind: "local", ...EXEMPT } as never],
        notices: [],
      });
    });

    test.each([...WRONG, "None", "none,5"])("%j is refused", (text) => {
      const error = refused({
        message: wrong("SEGMENTS", text),
        value: text,
        hint: "accepted is 1 to 1024, or none",
      });
      expect(() => set({ segments: text })).toThrow(error);
      expect(() => set({ segments: text, local: true })).toThrow(error);
    });
  });

  describe("accept", () => {
    test("--max, 1 to 1024", () => {
      fc.assert(
        fc.property(segments, (n) => {
          expect(accept({ max: String(n) })).toEqual({
            drafts: [{ kind: "accept", none: false, force: false, value: limit(n) }],
            notices: noticesOf(n),
          });
        }),
      );
    });

    test("there is no default: a limit is the administrator's decision", () => {
      expect(() => accept({})).toThrow(
        refused({ message: "--max is missing", value: undefined, hint: "accepted is 1 to 1024" }),
      );
    });

    test.each([...WRONG, "none"])("--max %j is refused", (max) => {
      expect(() => accept({ max })).toThrow(
        refused({
          message: wrong("--max", max),
          value: max,
          hint: "accepted is 1 to 1024",
        }),
      );
    });

    test("none", () => {
      expect(accept({ value: "none" })).toEqual({
        drafts: [{ kind: "accept", ...EXEMPT } as never],
        notices: [],
      });
      expect(() => accept({ value: "none", max: "5" })).toThrow(
        refused({ message: "'none' takes no --max", value: "none", hint: "leave it out" }),
      );
    });

    test.each([[{ value: "40" }], [{ value: "40", max: "50" }], [{ value: "" }], [{ value: "None" }]])(
      "%j: a number that is not behind the flag is told how",
      (args) => {
        expect(() => accept(args)).toThrow(
          refused({
            message: `stray argument '${args.value}'`,
            value: args.value,
            hint: "accepted is 'none', or --max SEGMENTS",
          }),
        );
      },
    );
  });

  describe("a rule in words", () => {
    const rule = { none: false, force: false } as const;

    test("for people", () => {
      expect(extension.describe({ kind: "ask", ...rule, value: [40, 0] })).toBe("40 segments");
      expect(extension.describe({ kind: "local", ...rule, value: [20, 0] })).toBe("20 segments");
      expect(extension.describe({ kind: "accept", ...rule, value: limit(32) })).toBe("<= 32 segments");
      for (const kind of ["ask", "local", "accept"] as const) {
        expect(extension.describe({ kind, none: true, force: false, value: [0, 0] })).toBe("none");
      }
    });

    test("for scripts: integers, and the option's bytes where there is one", () => {
      expect(extension.json({ kind: "ask", ...rule, value: [40, 0] })).toEqual({
        segments: 40,
        option: `${ask}0028`,
      });
      expect(extension.json({ kind: "ask", ...rule, value: [1024, 0] })).toMatchObject({
        option: `${ask}0400`,
      });
      expect(extension.json({ kind: "local", ...rule, value: [20, 0] })).toEqual({ segments: 20 });
      expect(extension.json({ kind: "accept", ...rule, value: limit(32) })).toEqual({ [most]: 32 });
      for (const kind of ["ask", "local", "accept"] as const) {
        expect(extension.json({ kind, none: true, force: false, value: [0, 0] })).toEqual({});
      }
    });
  });

  describe("on the command line", () => {
    const check = (verb: string, ...words: string[]) =>
      checkArguments(words, extension.verbs[verb]!.args, `tcpx ${extension.name} ${verb}`);

    test("each verb has its own flags, and nothing is there to be forced", () => {
      expect(check("set", "40", "--local")).toEqual(["--local", "--", "40"]);
      expect(check("accept", "--max", "40")).toEqual(["--max=40", "--"]);
      expect(check("accept", "none")).toEqual(["--", "none"]);
      for (const verb of ["set", "accept"]) {
        expect(() => check(verb, "none", "--force")).toThrow(refused({ message: "unknown flag '--force'" }));
      }
      expect(() => check("set", "40", "--max", "40")).toThrow(refused({ message: "unknown flag '--max'" }));
    });

    test("what is missing is named", () => {
      expect(() => check("set")).toThrow(refused({ message: "SEGMENTS is missing" }));
      expect(() => check("accept", "--max")).toThrow(refused({ message: "--max needs a value" }));
      expect(() => check("accept", "--max", "1", "--max", "2")).toThrow(
        refused({ message: "--max is given twice", hint: "give it once" }),
      );
    });

    test("a negative number is judged as one", () => {
      expect(check("set", "-5")).toEqual(["--", "-5"]);
      expect(check("accept", "--max", "-5")).toEqual(["--max=-5", "--"]);
    });

    test("requests are about connections that we open, grants about those that we accept", () => {
      expect(extension.directions).toEqual({ ask: "to", accept: "from" });
    });
  });
});
