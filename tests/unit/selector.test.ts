// SPDX-License-Identifier: MIT
// --to, --from and --port together.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { checkArguments, selectorArgs } from "../../cli/base/args.ts";
import { formatSelector, parseCidr, parsePort, parseSelectors } from "../../cli/policy/selector.ts";

const shown = (args: Parameters<typeof parseSelectors>[0]) => parseSelectors(args).map(formatSelector);

const octets = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255));
const cidr = fc.oneof(
  octets.map((bytes) => bytes.join(".")),
  fc.nat(255).map((n) => `${n}.0.0.0/8`),
  fc.nat(0xffff).map((n) => `2001:db8:${n.toString(16)}::/48`),
  fc.constantFrom("::/0", "0.0.0.0/0", "::1"),
);
const port = fc.integer({ min: 1, max: 65_535 });
const list = <T>(item: fc.Arbitrary<T>) => fc.uniqueArray(item, { minLength: 1, maxLength: 4 });
const option = <T>(item: fc.Arbitrary<T>) => fc.option(item, { nil: undefined });

describe("parseSelectors", () => {
  test("no flag is all connections, in both directions", () => {
    expect(parseSelectors({})).toEqual([
      { direction: "both", family: 0, address: new Uint8Array(16), prefix: 0, port: 0 },
    ]);
    expect(shown({})).toEqual(["all connections"]);
  });

  test("a port alone holds in both directions", () => {
    expect(parseSelectors({ port: "22" })).toMatchObject([{ direction: "both", family: 0, port: 22 }]);
    expect(shown({ port: "22,80" })).toEqual(["--port 22", "--port 80"]);
  });

  test("every combination, in the order that was written", () => {
    expect(shown({ to: "10.0.0.0/8,2001:db8::/32", from: "192.0.2.7", port: "80,443" })).toEqual([
      "--to 10.0.0.0/8 --port 80",
      "--to 10.0.0.0/8 --port 443",
      "--to 2001:db8::/32 --port 80",
      "--to 2001:db8::/32 --port 443",
      "--from 192.0.2.7 --port 80",
      "--from 192.0.2.7 --port 443",
    ]);
  });

  test("lists multiply", () => {
    fc.assert(
      fc.property(option(list(cidr)), option(list(cidr)), option(list(port)), (to, from, ports) => {
        const found = parseSelectors({ to: to?.join(), from: from?.join(), port: ports?.join() });
        const places = (to?.length ?? 0) + (from?.length ?? 0) || 1;
        expect(found).toHaveLength(places * (ports?.length ?? 1));
        const wanted = (direction: string) => (direction === "to" ? to : from);
        for (const { direction, port, ...rest } of found) {
          expect(ports?.includes(port) ?? port === 0).toBe(true);
          if (direction === "both") continue;
          expect(wanted(direction)!.map((text) => parseCidr(text, "--to"))).toContainEqual(rest);
        }
      }),
    );
  });

  test("what is printed selects the same when it is typed", () => {
    fc.assert(
      fc.property(option(list(cidr)), option(list(cidr)), option(list(port)), (to, from, ports) => {
        for (const selector of parseSelectors({ to: to?.join(), from: from?.join(), port: ports?.join() })) {
          const text = formatSelector(selector);
          const words = text === "all connections" ? [] : text.split(" ");
          const flags = checkArguments(words, selectorArgs, "tcpx x").filter((word) => word !== "--");
          const typed = Object.fromEntries(flags.map((flag) => flag.slice(2).split("=")));
          expect(parseSelectors(typed)).toEqual([selector]);
        }
      }),
    );
  });

  test("spaces around members do not matter", () => {
    expect(shown({ to: " 10.0.0.0/8 , 192.0.2.7 ", port: "80, 443" })).toHaveLength(4);
  });

  test("a member that is written twice counts once", () => {
    expect(shown({ to: "10.0.0.1,10.0.0.1", port: "80,80" })).toEqual(["--to 10.0.0.1 --port 80"]);
  });

  test.each([
    { to: "10.0.0.1,10.0.0.1/32" },
    { to: "10.0.0.1,::ffff:10.0.0.1" },
    { from: "::1,0:0::1,::0001" },
    { port: "80,080" },
  ])("%j is one selector, spelled twice", (args) => {
    expect(shown(args)).toHaveLength(1);
  });

  test.each([
    [{ to: "" }, "--to"],
    [{ to: "," }, "--to"],
    [{ to: "10.0.0.1," }, "--to"],
    [{ from: ",10.0.0.1" }, "--from"],
    [{ from: "10.0.0.1,,10.0.0.2" }, "--from"],
    [{ from: "10.0.0.1, ,10.0.0.2" }, "--from"],
    [{ port: "" }, "--port"],
    [{ port: "80," }, "--port"],
  ])("%j has an empty member", (args, flag) => {
    expect(() => parseSelectors(args)).toThrow(
      expect.objectContaining({
        code: 2,
        value: Object.values(args)[0],
        message: `${flag} '${Object.values(args)[0]}' has an empty member`,
      }),
    );
  });

  test("an error in a list names the member", () => {
    expect(() => parseSelectors({ from: "10.0.0.1,10.1,10.0.0.2" })).toThrow(
      expect.objectContaining({ value: "10.1", message: expect.stringContaining("--from '10.1'") }),
    );
    expect(() => parseSelectors({ port: "80,99999" })).toThrow(expect.objectContaining({ value: "99999" }));
  });
});

describe("parsePort", () => {
  test("1 to 65535", () => {
    fc.assert(fc.property(port, (n) => parsePort(String(n)) === n));
  });

  test.each([
    "0",
    "00",
    "65536",
    "100000",
    "9999999",
    "-5",
    "+80",
    "80.0",
    "1e3",
    "0x50",
    "http",
    "80-90",
    "８0",
  ])("%j is not a port number", (text) => {
    expect(() => parsePort(text)).toThrow(
      expect.objectContaining({
        code: 2,
        value: text,
        message: `--port '${text}' is not a port number`,
        hint: expect.stringMatching(/^accepted is 1 to 65535/),
      }),
    );
  });
});
