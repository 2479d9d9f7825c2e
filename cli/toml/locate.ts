// SPDX-License-Identifier: MIT
// Where in a TOML text a key or an element stands. The parser tells positions of syntax errors only, and a
// parser that keeps all positions takes 700 MB for 100,000 rules; so the text is gone through once more when
// there is something to tell. It is valid TOML by then.

/** Keys and indexes from the root: ["scope", 0, "uto", 3, "min"]. */
export type Path = readonly (string | number)[];

export const pathText = (path: Path): string =>
  path.map((part, i) => (typeof part === "number" ? `[${part}]` : i > 0 ? `.${part}` : part)).join("");

const BARE = /[A-Za-z0-9_-]+/y;
const BLANK = /(?:[ \t\r\n]|#[^\n]*)*/y;
/** Numbers, dates, true and false. */
const PLAIN = /[^,\]}\s#]+(?: \d[^,\]}\s#]*)?/y;
const STRINGS = [/"""(?:[^\\]|\\[\s\S])*?"{3,5}/y, /'''[\s\S]*?'{3,5}/y, /"(?:[^"\\]+|\\.)*"/y, /'[^']*'/y];

/** Not on the way to the wanted place: its one part is no key and no index. */
const ELSEWHERE: Path = [Number.NaN];

class Locator {
  private at = 0;
  /** How many of the wanted path's parts the best place so far has. */
  private best = -1;
  private found = 0;
  /** Elements so far of the arrays of tables that lead to the wanted place, by the lengths of their paths. */
  private readonly elements = new Map<number, number>();

  constructor(
    private readonly text: string,
    private readonly wanted: Path,
  ) {}

  /** The offset of the wanted place, or of the nearest place around it. */
  locate(): number {
    let table: Path = [];
    for (;;) {
      this.blank();
      if (this.at >= this.text.length) return this.found;
      if (this.text[this.at] === "[") table = this.header();
      else this.pair(table);
      if (this.best === this.wanted.length) return this.found;
    }
  }

  private take(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text)?.[0] ?? "";
    this.at += match.length;
    return match;
  }

  private blank(): void {
    this.take(BLANK);
  }

  private takes(sign: string): boolean {
    this.blank();
    const is = this.text.startsWith(sign, this.at);
    if (is) this.at += sign.length;
    return is;
  }

  private note(path: Path, at: number): void {
    if (path === ELSEWHERE || path.length <= this.best || !this.leads(path)) return;
    this.best = path.length;
    this.found = at;
  }

  private string(): string {
    for (const pattern of STRINGS) {
      const word = this.take(pattern);
      if (word !== "") return word;
    }
    return "";
  }

  private key(): string[] {
    const parts: string[] = [];
    do {
      this.blank();
      const quoted = this.string();
      if (quoted.startsWith('"')) parts.push(unescaped(quoted));
      else parts.push(quoted === "" ? this.take(BARE) : quoted.slice(1, -1));
    } while (this.takes("."));
    return parts;
  }

  /** Is it the beginning of the wanted path? */
  private leads(path: Path): boolean {
    return path.length <= this.wanted.length && path.every((part, i) => part === this.wanted[i]);
  }

  /**
   * [a.b] or [[a.b]]; returns the path of what follows, or ELSEWHERE. Paths that do not lead to the wanted place
   * are not followed: keys of 100,000 parts would take minutes.
   */
  private header(): Path {
    const start = this.at;
    const isElement = this.text[this.at + 1] === "[";
    this.at += isElement ? 2 : 1;
    const keys = this.key();
    const end = this.text.indexOf("]", this.at);
    this.at = end < 0 ? this.text.length : end + (isElement ? 2 : 1);
    const path: (string | number)[] = [];
    for (const [i, key] of keys.entries()) {
      path.push(key);
      if (!this.leads(path)) return ELSEWHERE;
      this.note([...path], start);
      // what leads there is told by its length
      const count = this.elements.get(path.length);
      if (isElement && i === keys.length - 1) {
        path.push(count ?? 0);
        this.elements.set(path.length - 1, (count ?? 0) + 1);
      } else if (count !== undefined) path.push(count - 1);
    }
    this.note(path, start);
    return this.leads(path) ? path : ELSEWHERE;
  }

  private pair(table: Path): void {
    this.blank();
    const start = this.at;
    const keys = this.key();
    let path: Path = table;
    for (const key of keys) {
      path = path === ELSEWHERE ? ELSEWHERE : [...path, key];
      if (!this.leads(path)) path = ELSEWHERE;
      this.note(path, start);
    }
    this.takes("=");
    this.value(path);
  }

  private value(path: Path): void {
    this.blank();
    if (this.takes("[")) {
      for (let i = 0; !this.takes("]"); i++) {
        this.blank();
        const element = path === ELSEWHERE ? ELSEWHERE : [...path, i];
        this.note(element, this.at);
        this.value(element);
        this.takes(",");
      }
    } else if (this.takes("{")) {
      while (!this.takes("}")) {
        this.pair(path);
        this.takes(",");
      }
    } else if (this.string() === "" && this.take(PLAIN) === "") this.at = this.text.length; // no TOML
  }
}

/** A quoted key without its quotes; TOML's escapes that JSON lacks are \e, \x and \U. */
function unescaped(quoted: string): string {
  const inner = quoted.slice(1, -1);
  return inner.replace(/\\(?:u(.{4})|U(.{8})|x(.{2})|(.))/g, (_, u, U, x, short: string | undefined) => {
    if (short === undefined) return String.fromCodePoint(Number.parseInt(u ?? U ?? x, 16));
    return { b: "\b", t: "\t", n: "\n", f: "\f", r: "\r", e: "\x1b" }[short] ?? short;
  });
}

/** Where a place of a valid TOML text stands, or the nearest one around it; both from 1 on. */
export function positionOf(text: string, path: Path): { line: number; column: number } {
  const offset = new Locator(text, path).locate();
  let line = 1;
  let start = 0;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) {
    line++;
    start = at + 1;
  }
  return { line, column: offset - start + 1 };
}

export const lineOf = (text: string, path: Path): number => positionOf(text, path).line;
