// SPDX-License-Identifier: MIT
// docs/json.md, read: what every JSON document may have. Each document of the executable under test that a test
// looks at is compared with it (tcpx.ts), so that a field that nobody has written down is found where it turns up.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const PAGE = join(import.meta.dir, "..", "..", "docs", "json.md");
const PRIMITIVES = ["string", "number", "boolean"];

/** A row of a table. */
export interface Field {
  /** As `families[].samples`, without the sign for what may be missing. */
  path: string;
  type: string;
  optional: boolean;
  /** Heading under which it stands; of several commands the first one. */
  section: string;
}

interface Node {
  type: string;
  optional: boolean;
  /** Those that are written out below it; a part's are the part's. */
  members: Map<string, Node>;
}

export class JsonPage {
  readonly fields: Field[] = [];
  private readonly sections = new Map<string, Map<string, Node>>();
  /** Commands that share a section, whose name is the first one's. */
  private readonly names = new Map<string, string>();
  /** Paths of sections that documents have had, as `Rule.kind`. */
  readonly seen = new Set<string>();

  constructor(text = readFileSync(PAGE, "utf8")) {
    let section = "";
    for (const line of text.split("\n")) {
      const heading = /^##+ (.*)$/.exec(line)?.[1];
      if (heading !== undefined) {
        const names = [...heading.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
        [section = heading] = names;
        for (const name of names) this.names.set(name, section);
      }
      const [, name, type] = /^\| `([^`]+)` \| ([^|]*?) *\|/.exec(line) ?? [];
      if (name !== undefined) this.add(section, name, type!);
    }
    if (!this.sections.has("Errors") || !this.sections.has("Rule")) throw new Error(`no tables in ${PAGE}`);
  }

  private add(section: string, name: string, type: string): void {
    const members = this.sections.get(section) ?? new Map<string, Node>();
    this.sections.set(section, members);
    if (name.startsWith("...")) {
      for (const [key, node] of this.part(name.slice(3))) members.set(key, node);
      return;
    }
    const optional = name.endsWith("?");
    const path = optional ? name.slice(0, -1) : name;
    const steps = path.replaceAll("[]", "").split(".");
    const last = steps.pop()!;
    let at = members;
    for (const step of steps) {
      const above = at.get(step);
      if (!above) throw new Error(`${section}: ${name} stands before what it is in`);
      at = above.members;
    }
    if (at.has(last)) throw new Error(`${section}: ${name} twice`);
    at.set(last, { type, optional, members: new Map() });
    this.fields.push({ path, type, optional, section });
  }

  /** Members of rules and values that the manifest of a test's own extension names: the page tells how. */
  added(...members: string[]): void {
    const node = { type: "any", optional: true, members: new Map<string, Node>() };
    const parts = [...this.sections].filter(([, fields]) => fields.has("bits") || fields.has("netns_cookie"));
    for (const [, fields] of parts) for (const name of members) fields.set(name, node);
  }

  private part(name: string): Map<string, Node> {
    const found = this.sections.get(name);
    if (!found) throw new Error(`docs/json.md has no part ${name}`);
    return found;
  }

  /** Headings of commands, as "tcpx status"; those of an extension as "tcpx EXT set". */
  get commands(): string[] {
    return [...this.names.keys()].filter((name) => name.startsWith("tcpx "));
  }

  private sectionOf(args: readonly string[]): string | undefined {
    const words = args.filter((arg) => !arg.startsWith("-"));
    const [first, second] = words;
    // guests have no registry to ask: what is no other command is one of an extension
    const names = [`tcpx ${first} ${second}`, `tcpx ${first}`, `tcpx EXT ${second}`];
    const found = names.find((name) => this.names.has(name));
    return found && this.names.get(found);
  }

  /**
   * What of a document is not as the page has it, a line for each.
   * @param args of the command, with or without flags
   */
  problems(args: readonly string[], document: unknown): string[] {
    const command = `tcpx ${args.join(" ")}`;
    if (document === null || typeof document !== "object") return [`${command}: no document`];
    const { schema, ...rest } = document as Record<string, unknown>;
    const section = "error" in rest ? "Errors" : this.sectionOf(args);
    if (section === undefined) return [`docs/json.md has no section of ${command}`];
    const wrong: string[] = [];
    this.seen.add("Commands.schema");
    if (typeof schema !== "number") wrong.push(`${command}: schema is ${typeof schema}`);
    const told = (what: string) => wrong.push(`${what}, in the document of \`${command}\``);
    this.object(rest, this.sections.get(section)!, { path: "", section, told });
    return wrong;
  }

  private object(value: object, members: Map<string, Node>, around: Around): void {
    const { path, told } = around;
    for (const [name, member] of Object.entries(value)) {
      const node = members.get(name);
      const inner = { ...around, path: path === "" ? name : `${path}.${name}` };
      if (node) {
        this.seen.add(`${around.section}.${around.within ?? ""}${name}`);
        this.value(member, node.type, node, { ...inner, within: `${around.within ?? ""}${name}.` });
      } else told(`docs/json.md lacks ${inner.path} (${typeOf(member)})`);
    }
    for (const [name, { optional }] of members) {
      if (!optional && !(name in value)) told(`docs/json.md has ${path}.${name}, which is missing`);
    }
  }

  private value(value: unknown, type: string, node: Node, around: Around): void {
    const { path, told } = around;
    const wrong = () => told(`docs/json.md says that ${path} is ${type}, and it is ${typeOf(value)}`);
    if (type === "any") return;
    if (type.endsWith(" or null")) {
      if (value !== null) this.value(value, type.slice(0, -" or null".length), node, around);
    } else if (type.startsWith("array of ")) {
      if (!Array.isArray(value)) return void wrong();
      const item = type.slice("array of ".length);
      for (const member of value) this.value(member, item, node, { ...around, path: `${path}[]` });
    } else if (PRIMITIVES.includes(type)) {
      if (typeof value !== type) wrong();
    } else if (value === null || typeof value !== "object" || Array.isArray(value)) wrong();
    else if (type.startsWith("map of ")) {
      const item = type.slice("map of ".length);
      for (const [name, member] of Object.entries(value)) {
        this.value(member, item, node, { ...around, path: `${path}.${name}` });
      }
    } else if (type === "object") this.object(value, node.members, around);
    else this.object(value, this.part(type), { ...around, section: type, within: "" });
  }
}

interface Around {
  /** In the document, with names of lists and maps. */
  path: string;
  section: string;
  /** In the section. */
  within?: string;
  told(what: string): void;
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (!Array.isArray(value)) return typeof value;
  return value.length > 0 ? `array of ${typeOf(value[0])}` : "array";
}

/** The type of JSON, with that of a list's members. */
export function plainType(type: string): string {
  const bare = type.replace(/ or null$/, "");
  if (bare.startsWith("array of ")) return `array of ${plainType(bare.slice("array of ".length))}`;
  return PRIMITIVES.includes(bare) || bare === "any" ? bare : "object";
}

export const page = new JsonPage();
