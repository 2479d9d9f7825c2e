// SPDX-License-Identifier: MIT
// What namespaces are denied: the agent's lines, and what is made of them.
import { expect, test } from "bun:test";
import { deniedLines, parseDenied } from "../../cli/agent/denied.ts";

const WHY = "IPv4 rule 77 goes by protocol, port";

test("the bridge's lines; what this tcpx does not know is left out", () => {
  const text = `4026532001 thinned ${WHY}\n4026532002 juggled of old\nthinned x\n\n`;
  expect(parseDenied(text)).toEqual([{ netns: 4026532001, what: "thinned", why: WHY }]);
});

test("a line each, our own namespace by name, and no more than ten", () => {
  const all = Array.from({ length: 12 }, (_, i) => ({ netns: 5 + i, what: "thinned" as const, why: WHY }));
  const lines = deniedLines(all, 6);
  expect(lines[0]).toBe(`ACKs are not thinned in network namespace net:[5]: ${WHY}`);
  expect(lines[1]).toBe(`ACKs are not thinned in this network namespace: ${WHY}`);
  expect(lines).toHaveLength(11);
  expect(lines[10]).toBe("and so in 2 more");
  expect(deniedLines([], 6)).toEqual([]);
});
