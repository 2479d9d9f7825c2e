// SPDX-License-Identifier: MIT
// `tcpx cc-request`: from arguments to rules, and from rules to text.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { checkArguments } from "../../cli/base/args.ts";
import { ccRequest } from "../../cli/extensions/cc-request.ts";
import { ALGORITHMS } from "../../cli/wire/site.ts";

const set = (args: Record<string, unknown>) => ccRequest.verbs.set!.draft(args);
const accept = (args: Record<string, unknown>) => ccRequest.verbs.accept!.draft(args);

const refused = (details: object) => expect.objectContaining({ name: "TcpxError", code: 2, ...details });
const drafted = (draft: object) => ({ drafts: [draft as never], notices: [] });

const HINT =
  "accepted is vegas, reno, bbr, cubic, dctcp, westwood, htcp, hybla, veno, scalable, nv, illinois, yeah, lp, " +
  "bic, cdg, highspeed, or none";
const UNKNOWN = ["", "BBR", "Cubic", "None", "bbr2", " bbr", "2", "count", "COUNT", "__proto__", "bbr cubic"];

describe("cc-request set", () => {
  test.each([...ALGORITHMS.entries()])("%i is %s", (id, algorithm) => {
    expect(set({ algorithm })).toEqual(drafted({ kind: "ask", none: false, force: false, value: [id, 0] }));
  });

  test("--local asks nobody, and may take the choice of the application away", () => {
    const local = { kind: "local", none: false, value: [2, 0] };
    expect(set({ algorithm: "bbr", local: true })).toEqual(drafted({ ...local, force: false }));
    expect(set({ algorithm: "bbr", local: true, force: true })).toEqual(drafted({ ...local, force: true }));
    expect(set({ algorithm: "bbr", local: false, force: false }).drafts[0]!.kind).toBe("ask");
  });

  test("none exempts one kind: a local rule is another matter than a request", () => {
    const none = { none: true, force: false, value: [0, 0] };
    expect(set({ algorithm: "none" })).toEqual(drafted({ kind: "ask", ...none }));
    expect(set({ algorithm: "none", local: true })).toEqual(drafted({ kind: "local", ...none }));
  });

  test("none with --force is an error", () => {
    const error = refused({ message: "'none' takes no --force", value: "none", hint: "leave it out" });
    expect(() => set({ algorithm: "none", force: true })).toThrow(error);
    expect(() => set({ algorithm: "none", force: true, local: true })).toThrow(error);
  });

  test("--force says nothing about a request", () => {
    expect(() => set({ algorithm: "bbr", force: true })).toThrow(
      refused({
        message: "--force is for --local and accept",
        value: "--force",
        hint: "the server decides about its own applications",
      }),
    );
  });

  test.each([...UNKNOWN, "bbr,cubic", "none,bbr"])(
    "%j is refused, and the accepted ones are named",
    (text) => {
      const error = refused({
        message: `ALGORITHM '${text}' is not known`,
        value: text,
        hint: expect.stringContaining(HINT),
      });
      expect(() => set({ algorithm: text })).toThrow(error);
      expect(() => set({ algorithm: text, local: true, force: true })).toThrow(error);
    },
  );
});

describe("cc-request accept", () => {
  test("a list is a set: order, repetition and blanks do not matter", () => {
    const both = drafted({ kind: "accept", none: false, force: false, value: [0b1100, 0] });
    for (const algorithms of ["bbr,cubic", "cubic,bbr", "bbr,bbr,cubic,bbr", " bbr , cubic "]) {
      expect(accept({ algorithms })).toEqual(both);
    }
  });

  test("bits and names are the same, up to bit 16", () => {
    expect(accept({ algorithms: "highspeed" }).drafts[0]!.value).toEqual([0x1_0000, 0]);
    expect(accept({ algorithms: ALGORITHMS.join() }).drafts[0]!.value).toEqual([0x1_ffff, 0]);
    fc.assert(
      fc.property(fc.shuffledSubarray([...ALGORITHMS], { minLength: 1 }), (names) => {
        const [draft] = accept({ algorithms: names.join() }).drafts;
        const inOrder = ALGORITHMS.filter((name) => names.includes(name));
        expect(draft!.value[0]).toBe(names.reduce((sum, name) => sum + 2 ** ALGORITHMS.indexOf(name), 0));
        expect(ccRequest.json(draft!)).toEqual({ algorithms: inOrder });
        expect(ccRequest.describe(draft!)).toBe(inOrder.join());
      }),
    );
  });

  test("--force", () => {
    expect(accept({ algorithms: "reno", force: true })).toEqual(
      drafted({ kind: "accept", none: false, force: true, value: [2, 0] }),
    );
  });

  test("none", () => {
    expect(accept({ algorithms: "none" })).toEqual(
      drafted({ kind: "accept", none: true, force: false, value: [0, 0] }),
    );
    expect(() => accept({ algorithms: "none", force: true })).toThrow(
      refused({ message: "'none' takes no --force", value: "none", hint: "leave it out" }),
    );
  });

  test.each([
    ["", ""],
    [",", ""],
    ["bbr,", ""],
    [",bbr", ""],
    ["bbr,,cubic", ""],
    ["BBR", "BBR"],
    ["cubic,BBR,xyz", "BBR"],
    ["bbr;cubic", "bbr;cubic"],
    ["bbr cubic", "bbr cubic"],
    ["2", "2"],
    ["bbr,toString", "toString"],
  ])("%j is refused by the member %j", (algorithms, member) => {
    expect(() => accept({ algorithms })).toThrow(
      refused({
        message: `ALGORITHM '${member}' is not known`,
        value: member,
        hint: expect.stringContaining(HINT),
      }),
    );
  });

  test.each(["none,bbr", "bbr,none"])(
    "%j: none is no member of a list, and no error says that it is",
    (text) => {
      expect(() => accept({ algorithms: text })).toThrow(
        refused({
          value: expect.stringContaining("none"),
          hint: expect.not.stringMatching(/highspeed, or none$/),
        }),
      );
    },
  );
});

describe("a rule in words", () => {
  const rule = { none: false, force: false } as const;

  test("for people", () => {
    expect(ccRequest.describe({ kind: "ask", ...rule, value: [16, 0] })).toBe("highspeed");
    expect(ccRequest.describe({ kind: "local", ...rule, value: [0, 0] })).toBe("vegas");
    expect(ccRequest.describe({ kind: "local", ...rule, force: true, value: [2, 0] })).toBe("bbr (force)");
    expect(ccRequest.describe({ kind: "accept", ...rule, value: [0b1101, 0] })).toBe("vegas,bbr,cubic");
    expect(ccRequest.describe({ kind: "accept", ...rule, force: true, value: [2, 0] })).toBe("reno (force)");
    for (const kind of ["ask", "local", "accept"] as const) {
      expect(ccRequest.describe({ kind, none: true, force: false, value: [0, 0] })).toBe("none");
    }
  });

  test("for scripts: names, and the option's bytes where there is one", () => {
    expect(ccRequest.json({ kind: "ask", ...rule, value: [2, 0] })).toEqual({
      algorithm: "bbr",
      option: "fe067cc00002",
    });
    expect(ccRequest.json({ kind: "ask", ...rule, value: [16, 0] })).toEqual({
      algorithm: "highspeed",
      option: "fe067cc00010",
    });
    expect(ccRequest.json({ kind: "local", ...rule, value: [0, 0] })).toEqual({ algorithm: "vegas" });
    expect(ccRequest.json({ kind: "accept", ...rule, value: [0x1_0001, 0] })).toEqual({
      algorithms: ["vegas", "highspeed"],
    });
    for (const kind of ["ask", "local", "accept"] as const) {
      expect(ccRequest.json({ kind, none: true, force: false, value: [0, 0] })).toEqual({});
    }
  });
});

describe("on the command line", () => {
  const check = (verb: string, ...words: string[]) =>
    checkArguments(words, ccRequest.verbs[verb]!.args, `tcpx cc-request ${verb}`);

  test("each verb has its own flags", () => {
    expect(check("set", "bbr", "--local", "--force")).toEqual(["--local", "--force", "--", "bbr"]);
    expect(check("accept", "bbr,cubic", "--force")).toEqual(["--force", "--", "bbr,cubic"]);
    expect(() => check("accept", "bbr", "--local")).toThrow(refused({ message: "unknown flag '--local'" }));
    expect(() => check("set", "bbr", "--max", "5")).toThrow(refused({ message: "unknown flag '--max'" }));
  });

  test("one word each: a list is written with commas", () => {
    expect(() => check("accept", "bbr", "cubic")).toThrow(refused({ message: "stray argument 'cubic'" }));
    expect(() => check("set")).toThrow(refused({ message: "ALGORITHM is missing" }));
    expect(() => check("accept")).toThrow(
      refused({ message: expect.stringMatching(/^ALGORITHM.* is missing$/) }),
    );
  });

  test("requests are about connections that we open, grants about those that we accept", () => {
    expect(ccRequest.directions).toEqual({ ask: "to", accept: "from" });
  });
});
