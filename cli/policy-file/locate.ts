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

class Locator {
  private at = 0;
  /** How many of the wanted path's parts the best place so far has. */
  private best = -1;
  private found = 0;
  /** Elements so far of the arrays of tables, by path. */
  private readonly elements = new Map<string, number>();

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
    if (path.length <= this.best || path.length > this.wanted.length) return;
    if (path.some((part, i) => part !== this.wanted[i])) return;
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

  /** [a.b] or [[a.b]]; returns the path of what follows. */
  private header(): Path {
    const start = this.at;
    const isElement = this.text[this.at + 1] === "[";
    this.at += isElement ? 2 : 1;
    const keys = this.key();
    this.at = this.text.indexOf("]", this.at) + (isElement ? 2 : 1);
    const path: (string | number)[] = [];
    for (const [i, key] of keys.entries()) {
      path.push(key);
      const name = JSON.stringify(path);
      const count = this.elements.get(name);
      if (isElement && i === keys.length - 1) {
        path.push(count ?? 0);
        this.elements.set(name, (count ?? 0) + 1);
      } else if (count !== undefined) path.push(count - 1);
    }
    this.note(path, start);
    return path;
  }

  private pair(table: Path): void {
    this.blank();
    const start = this.at;
    const path = [...table, ...this.key()];
    for (let length = table.length + 1; length <= path.length; length++) {
      this.note(path.slice(0, length), start);
    }
    this.takes("=");
    this.value(path);
  }

  private value(path: Path): void {
    this.blank();
    if (this.takes("[")) {
      for (let i = 0; !this.takes("]"); i++) {
        this.blank();
        this.note([...path, i], this.at);
        this.value([...path, i]);
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

/** The line, from 1 on, on which a place of a valid TOML text stands, or the nearest one around it. */
export function lineOf(text: string, path: Path): number {
  const offset = new Locator(text, path).locate();
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) line++;
  return line;
}
