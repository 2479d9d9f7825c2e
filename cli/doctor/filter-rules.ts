// SPDX-License-Identifier: MIT
// Rules of packet filters that take TCP options away, or segments that carry them: from what nft and iptables list.
// The texts are others', of any shape.

import { ownKinds } from "../extensions/options.ts";

/** Kinds of the options that tcpx writes, and 253: RFC 4727 has two for experiments, which filters treat alike. */
export const KINDS: readonly number[] = [...new Set([...ownKinds(), 253])].sort((a, b) => a - b);

export interface FilterRule {
  by: "nft" | "iptables";
  /** ip, ip6, inet, ...: as the lister calls it. */
  table_family: string;
  table: string;
  chain: string;
  /** nft's handle; of iptables, the rule's number in its chain. */
  handle: number;
  /** What it does to segments, as a verb and its object. */
  effect: string;
}

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const field = (value: unknown, name: string): unknown => (isObject(value) ? value[name] : undefined);
const textOf = (value: unknown): string => (typeof value === "string" ? value : "?");

/** The kind of one of our options that this expression is about. */
function kindOf(expression: unknown): number | undefined {
  const kind = field(field(expression, "tcp option"), "base");
  return KINDS.find((known) => known === kind);
}

/** Of which option the presence is asked for. "missing" is the presence of none. */
function presenceOf(statement: unknown): number | undefined {
  const match = field(statement, "match");
  const kind = kindOf(field(match, "left"));
  const isMissing = (field(match, "op") === "!=") !== (field(match, "right") === false);
  return kind !== undefined && !isMissing ? kind : undefined;
}

/** What is done with the segments that a rule matches; undefined: nothing that keeps them. */
function verdictOf(statements: readonly unknown[]): string | undefined {
  for (const statement of statements) {
    if (!isObject(statement)) continue;
    if ("drop" in statement) return "drops";
    if ("reject" in statement) return "rejects";
    const target = field(statement.jump ?? statement.goto, "target");
    if (target !== undefined) return `decides in chain ${textOf(target)} about`;
    if ("vmap" in statement && JSON.stringify(statement.vmap).includes('{"drop":')) return "drops some";
  }
  return undefined;
}

/** Removes them whatever else the rule says. */
function removalOf(statement: unknown): string | undefined {
  const removed = kindOf(field(statement, "reset"));
  if (removed !== undefined) return `removes option ${removed}`;
  const changed = kindOf(field(field(statement, "mangle"), "key"));
  if (changed !== undefined) return `changes option ${changed}`;
  const target = field(field(statement, "xt"), "name");
  if (target === "TCPOPTSTRIP") return "removes TCP options (TCPOPTSTRIP; nft does not tell which)";
  if (target === "SYNPROXY" || field(statement, "synproxy") !== undefined)
    return "answers SYNs in our place, without our options (synproxy)";
  return undefined;
}

function effectOf(statements: readonly unknown[]): string | undefined {
  const removal = statements.map(removalOf).find((effect) => effect !== undefined);
  if (removal !== undefined) return removal;
  const kind = statements.map(presenceOf).find((found) => found !== undefined);
  const verdict = kind === undefined ? undefined : verdictOf(statements);
  return verdict === undefined ? undefined : `${verdict} segments with option ${kind}`;
}

/** Tables that are switched off. */
function dormantTables(entries: readonly unknown[]): Set<string> {
  const tables = entries.map((entry) => field(entry, "table")).filter(isObject);
  const off = tables.filter(({ flags }) => [flags].flat().includes("dormant"));
  return new Set(off.map(({ family, name }) => `${family} ${name}`));
}

/** From `nft -j list ruleset`. @throws Error when it is no such document */
export function nftRules(text: string): FilterRule[] {
  const entries = field(JSON.parse(text), "nftables");
  if (!Array.isArray(entries)) throw new Error("no ruleset in it");
  const off = dormantTables(entries);
  return entries.flatMap((entry): FilterRule[] => {
    const rule = field(entry, "rule");
    const statements = field(rule, "expr");
    if (!isObject(rule) || !Array.isArray(statements) || off.has(`${rule.family} ${rule.table}`)) return [];
    const effect = effectOf(statements);
    if (effect === undefined) return [];
    const [family, table, chain] = [rule.family, rule.table, rule.chain].map(textOf) as [
      string,
      string,
      string,
    ];
    return [{ by: "nft", table_family: family, table, chain, handle: Number(rule.handle) || 0, effect }];
  });
}

/** What a line of iptables-save does; undefined: nothing to our options. */
function lineEffect(line: string): string | undefined {
  const stripped = /-j TCPOPTSTRIP --strip-options (\S+)/.exec(line)?.[1];
  const kinds =
    stripped
      ?.split(",")
      .map(Number)
      .filter((kind) => KINDS.includes(kind)) ?? [];
  if (kinds.length > 0) return `removes option ${kinds.join(", ")}`;
  if (/-j SYNPROXY\b/.test(line)) return "answers SYNs in our place, without our options (SYNPROXY)";
  const matched = /(! )?--tcp-option (\d+)/.exec(line);
  const target = /-[jg] (\S+)/.exec(line)?.[1];
  if (!matched || matched[1] || !KINDS.includes(Number(matched[2]))) return undefined;
  const verb = { DROP: "drops", REJECT: "rejects" }[target ?? ""];
  return verb && `${verb} segments with option ${matched[2]}`;
}

/** From iptables-save (legacy), of one family. */
export function iptablesRules(text: string, family: string): FilterRule[] {
  const found: FilterRule[] = [];
  const count = new Map<string, number>();
  let table = "?";
  for (const whole of text.split("\n")) {
    const line = whole.replace(/"(?:[^"\\]|\\.)*"/g, '""'); // comments may say anything
    if (line.startsWith("*")) table = line.slice(1);
    const chain = /^-A (\S+)/.exec(line)?.[1];
    if (chain === undefined) continue;
    const handle = (count.get(`${table} ${chain}`) ?? 0) + 1;
    count.set(`${table} ${chain}`, handle);
    const effect = lineEffect(line);
    if (effect !== undefined)
      found.push({ by: "iptables", table_family: family, table, chain, handle, effect });
  }
  return found;
}
