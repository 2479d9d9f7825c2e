// SPDX-License-Identifier: MIT
// Rules for one direction only: how they get their place, are shown, and are found again.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { eachChangeLine, ruleJson } from "../../cli/describe/rules.ts";
import { ack } from "../../cli/extensions/ack.ts";
import { ccRequest } from "../../cli/extensions/cc-request.ts";
import { extensions } from "../../cli/extensions/index.ts";
import { iw } from "../../cli/extensions/iw.ts";
import { placeRules } from "../../cli/extensions/place.ts";
import type { Extension, RuleDraft } from "../../cli/extensions/types.ts";
import { uto } from "../../cli/extensions/uto.ts";
import { isChange, setRules, unsetRules } from "../../cli/policy/change.ts";
import { KINDS, type Kind, type Rule } from "../../cli/policy/rule.ts";
import { formatSelector, inDirection, parseSelectors } from "../../cli/policy/selector.ts";
import { DEFAULT_SITE } from "../../cli/wire/site.ts";

const refused = (details: object) => expect.objectContaining({ name: "TcpxError", code: 2, ...details });
const draft = (kind: Kind, value = 2): RuleDraft => ({ kind, none: false, force: false, value: [value, 0] });
const NETNS = { cookie: 17n, inode: 4_026_531_840 };

type Flags = Parameters<typeof parseSelectors>[0];
const place = (extension: Extension, kind: Kind, flags: Flags, netns: Rule["netns"] = null) =>
  placeRules(extension, parseSelectors(flags), [draft(kind)], netns);

const REQUESTS = [ccRequest, iw];
const FLAGS: Flags[] = [
  {},
  { port: "443" },
  { port: "22,80" },
  { to: "10.0.0.0/8" },
  { to: "::1", port: "80,443" },
  { from: "10.0.0.0/8" },
  { from: "2001:db8::/32,0.0.0.0/0" },
];

describe("inDirection", () => {
  test("without an address the direction follows from the kind; the port stays", () => {
    for (const direction of ["to", "from"] as const) {
      expect(inDirection(parseSelectors({ port: "22,443" }), direction, "x")).toEqual([
        { direction, family: 0, address: new Uint8Array(16), prefix: 0, port: 22 },
        { direction, family: 0, address: new Uint8Array(16), prefix: 0, port: 443 },
      ]);
    }
  });

  test("with an address of that direction nothing changes, and nothing is modified", () => {
    const selectors = parseSelectors({ to: "10.0.0.0/8,::/0,0.0.0.0/0" });
    expect(inDirection(selectors, "to", "x")).toEqual(selectors);
    const plain = parseSelectors({});
    inDirection(plain, "from", "x");
    expect(plain).toEqual(parseSelectors({}));
  });

  test("the other direction's address is an error that says what to do", () => {
    expect(() => inDirection(parseSelectors({ from: "10.0.0.0/8" }), "to", "iw ask rules")).toThrow(
      refused({
        message: "--from is not for iw ask rules",
        value: "10.0.0.0/8",
        hint: "it is about connections that this side opens: use --to",
      }),
    );
    expect(() => inDirection(parseSelectors({ to: "::1" }), "from", "iw accept rules")).toThrow(
      refused({
        message: "--to is not for iw accept rules",
        value: "::1",
        hint: "it is about connections that this side accepts: use --from",
      }),
    );
  });

  test("one wrong member among right ones is enough", () => {
    const both = parseSelectors({ to: "10.0.0.1", from: "192.0.2.0/24" });
    expect(() => inDirection(both, "to", "x")).toThrow(refused({ value: "192.0.2.0/24" }));
    expect(() => inDirection(both, "from", "x")).toThrow(refused({ value: "10.0.0.1" }));
  });
});

describe("placeRules", () => {
  test.each(REQUESTS.map((extension) => [extension.name, extension] as const))(
    "%s: requests where we open, grants where we accept, our own doing anywhere",
    (name, extension) => {
      expect(place(extension, "ask", {})[0]!.selector.direction).toBe("to");
      expect(place(extension, "accept", {})[0]!.selector.direction).toBe("from");
      expect(place(extension, "local", {})[0]!.selector.direction).toBe("both");
      for (const flags of [{ to: "10.0.0.1" }, { from: "10.0.0.1" }]) {
        expect(place(extension, "local", flags)[0]!.selector).toEqual(parseSelectors(flags)[0]!);
      }
      expect(() => place(extension, "ask", { from: "10.0.0.1" })).toThrow(
        refused({ message: `--from is not for ${name} ask rules`, value: "10.0.0.1" }),
      );
      expect(() => place(extension, "accept", { to: "10.0.0.1" })).toThrow(
        refused({ message: `--to is not for ${name} accept rules`, value: "10.0.0.1" }),
      );
    },
  );

  test.each([uto, ack].map((extension) => [extension.name, extension] as const))(
    "%s: every kind in both directions",
    (_, extension) => {
      for (const kind of KINDS) {
        for (const flags of FLAGS) {
          expect(place(extension, kind, flags).map((rule) => rule.selector)).toEqual(parseSelectors(flags));
        }
      }
    },
  );

  test("every draft at every selector, with the namespace", () => {
    const drafts = [draft("ask", 1), { ...draft("local", 0), none: true, force: true }];
    const rules = placeRules(iw, parseSelectors({ port: "22,80" }), drafts, NETNS);
    expect(rules.map((r) => [r.kind, r.selector.direction, r.selector.port])).toEqual([
      ["ask", "to", 22],
      ["ask", "to", 80],
      ["local", "both", 22],
      ["local", "both", 80],
    ]);
    expect(rules[0]).toEqual({ ext: "iw", netns: NETNS, ...drafts[0]!, selector: rules[0]!.selector });
    expect(rules[3]).toEqual({ ext: "iw", netns: NETNS, ...drafts[1]!, selector: rules[3]!.selector });
  });
});

describe("on paper", () => {
  test("formatSelector: as it was typed, whatever the direction", () => {
    const [plain] = place(ccRequest, "ask", {});
    expect(formatSelector(plain!.selector)).toBe("all connections");
    const [port] = place(ccRequest, "accept", { port: "443" });
    expect(formatSelector(port!.selector)).toBe("--port 443");
    const [address] = place(iw, "accept", { from: "10.0.0.0/8", port: "443" });
    expect(formatSelector(address!.selector)).toBe("--from 10.0.0.0/8 --port 443");
  });

  test("what is shown makes the same rule when it is typed for that kind", () => {
    for (const extension of extensions) {
      for (const kind of KINDS) {
        const flags = FLAGS.filter(
          (f) => kind === "local" || !extension.directions || !("from" in f || "to" in f),
        );
        for (const rule of flags.flatMap((f) => place(extension, kind, f))) {
          const words = formatSelector(rule.selector).replace("all connections", "").split(" ");
          const typed = Object.fromEntries(
            words.flatMap((word, i) => (word.startsWith("--") ? [[word.slice(2), words[i + 1]!]] : [])),
          );
          expect(place(extension, kind, typed)).toEqual([rule]);
        }
      }
    }
  });

  test("lines and documents", () => {
    const rules = [
      ...placeRules(
        ccRequest,
        parseSelectors({}),
        ccRequest.verbs.accept!.draft({ algorithms: "bbr,cubic" }).drafts,
        null,
      ),
      ...placeRules(
        iw,
        parseSelectors({ port: "443" }),
        iw.verbs.set!.draft({ segments: "10" }).drafts,
        NETNS,
      ),
    ];
    expect([
      ...eachChangeLine(setRules([], rules), { scope: "/", current: NETNS, site: DEFAULT_SITE }),
    ]).toEqual([
      "+ cc-request accept bbr,cubic all connections, netns all",
      "+ iw ask 10 segments --port 443, netns this",
    ]);
    expect(rules.map((rule) => ruleJson(rule, DEFAULT_SITE))).toMatchObject([
      {
        extension: "cc-request",
        kind: "accept",
        direction: "from",
        address: null,
        algorithms: ["bbr", "cubic"],
      },
      { extension: "iw", kind: "ask", direction: "to", port: 443, segments: 10, option: "fe067c10000a" },
    ]);
  });
});

describe("unset finds them again", () => {
  const everything = extensions.flatMap((extension) => KINDS.flatMap((kind) => place(extension, kind, {})));
  const unset = (ext: string, flags: Flags, kind?: Kind) =>
    unsetRules(everything, { ext, kind, selectors: parseSelectors(flags), netns: null });

  test("without an address: requests that are 'to', grants that are 'from', and nobody else's", () => {
    for (const { name } of extensions) {
      const change = unset(name, {});
      expect(change.removed.map((rule) => [rule.ext, rule.kind])).toEqual(KINDS.map((kind) => [name, kind]));
      expect(change.rules).toHaveLength(everything.length - KINDS.length);
      for (const kind of KINDS) expect(unset(name, {}, kind).removed).toHaveLength(1);
    }
  });

  test("an address, however wide, or a port is another place", () => {
    for (const flags of [{ to: "0.0.0.0/0" }, { to: "::/0" }, { from: "0.0.0.0/0" }, { port: "443" }]) {
      expect(isChange(unset("iw", flags))).toBe(false);
    }
    const wide = place(iw, "ask", { to: "0.0.0.0/0" });
    expect(unsetRules(wide, { ext: "iw", selectors: parseSelectors({}), netns: null }).rules).toEqual(wide);
  });

  test("the same address on the other side is another place", () => {
    const rules = [{ to: "::1" }, { from: "::1" }].flatMap((flags) => place(uto, "local", flags));
    const change = unsetRules(rules, { ext: "uto", selectors: parseSelectors({ to: "::1" }), netns: null });
    expect(change.rules).toEqual([rules[1]!]);
  });

  test("the namespace is part of the place", () => {
    const own = place(iw, "accept", {}, NETNS);
    expect(isChange(unsetRules(own, { ext: "iw", selectors: parseSelectors({}), netns: null }))).toBe(false);
    expect(unsetRules(own, { ext: "iw", selectors: parseSelectors({}), netns: NETNS }).rules).toEqual([]);
  });

  test("whatever was set is taken back by the same words, and a second time changes nothing", () => {
    const words = fc.constantFrom(...FLAGS);
    fc.assert(
      fc.property(
        fc.constantFrom(...extensions),
        fc.constantFrom(...KINDS),
        words,
        (extension, kind, flags) => {
          const wrong = { ask: "from", accept: "to", local: "-" }[kind];
          fc.pre(!extension.directions || !(wrong in flags));
          const before = everything.filter((rule) => rule.ext !== extension.name);
          const wanted = place(extension, kind, flags);
          const set = setRules(before, wanted);
          expect(isChange(setRules(set.rules, wanted))).toBe(false);
          const selectors = parseSelectors(flags);
          for (const only of [kind, undefined]) {
            const back = unsetRules(set.rules, { ext: extension.name, kind: only, selectors, netns: null });
            expect(back.rules).toEqual(before);
            expect(back.removed).toEqual(wanted);
          }
        },
      ),
    );
  });

  test("another value is a replacement, not a second rule", () => {
    const change = setRules(everything, placeRules(iw, parseSelectors({}), [draft("accept", 40)], null));
    expect(change.rules).toHaveLength(everything.length);
    expect(change.replaced).toMatchObject([{ ext: "iw", kind: "accept", value: [2, 0] }]);
  });
});
