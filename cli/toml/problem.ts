// SPDX-License-Identifier: MIT
// What is wrong with a file of TOML, with file, line and key; all of it at once.

import { Exit, TcpxError } from "../base/errors.ts";
import { type Path, pathText, positionOf } from "./locate.ts";

/** The text of a file, and what it is called in messages. */
export interface Source {
  name: string;
  text: string;
  /** What prints such a file, for messages; `tcpx export` when left out. */
  printer?: string;
  /** Has enough been found wrong? What else is is counted only: looking for a line takes time. */
  isFull?: () => boolean;
}

/** An error at a key of the file. */
export function problem(source: Source, path: Path, what: string, hint?: string, value?: string): TcpxError {
  const { line, column } = source.isFull?.() ? { line: 0, column: 0 } : positionOf(source.text, path);
  const key = pathText(path);
  return new TcpxError(Exit.USAGE, `${source.name}:${line}: ${key === "" ? "" : `${key}: `}${what}`, {
    place: { file: source.name, line, column, key },
    ...(hint !== undefined && { hint }),
    ...(value !== undefined && { value }),
  });
}

/** Another error, at a key of the file; its exit code stays. */
export function problemAt(source: Source, path: Path, error: TcpxError): TcpxError {
  const { message, hint, value } = error;
  const { message: what, place } = problem(source, path, message);
  return new TcpxError(error.code, what, {
    ...(place && { place }),
    ...(hint !== undefined && { hint }),
    ...(value !== undefined && { value }),
    cause: error,
  });
}

/** So many are told, as far as their lines are found in this time: files may have 32 MB. */
export const MOST_PROBLEMS = 20;
const MOST_MS = 2000;

/** Collects what is wrong, to be told at once. */
export class Problems {
  private readonly found: TcpxError[] = [];
  /** How many there are, with those that are not told. */
  count = 0;
  private since = 0;
  /** Lines on which something was mended that has been told. */
  readonly mended = new Set<number>();

  get any(): boolean {
    return this.count > 0;
  }

  readonly isFull = (): boolean => {
    const { length } = this.found;
    return length >= MOST_PROBLEMS || (length > 0 && performance.now() - this.since > MOST_MS);
  };

  /** @throws what is no problem of the file */
  add(error: unknown): void {
    if (!(error instanceof TcpxError)) throw error;
    if (this.isFull()) this.count++;
    else if (!this.mended.has(error.place?.line ?? 0) && !this.isKnown(error)) {
      if (this.found.length === 0) this.since = performance.now();
      this.found.push(error);
      this.count++;
    }
  }

  private isKnown({ message }: TcpxError): boolean {
    return this.found.some((known) => known.message === message);
  }

  /** Does a part; undefined when something is wrong with it. */
  try<T>(part: () => T): T | undefined {
    try {
      return part();
    } catch (error) {
      this.add(error);
      return undefined;
    }
  }

  /** @throws TcpxError with all that was found, in the order of the file */
  end(): void {
    const line = (error: TcpxError) => error.place?.line ?? 0;
    const [first, ...others] = this.found.sort((a, b) => line(a) - line(b));
    if (!first) return;
    if (others.length === 0) throw first;
    throw first.together(others, this.count - this.found.length);
  }
}
