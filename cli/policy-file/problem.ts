// SPDX-License-Identifier: MIT
// What is wrong with a policy, with file, line and key.

import { Exit, TcpxError } from "../errors.ts";
import { lineOf, type Path, pathText } from "./locate.ts";

/** The text of a policy, and what it is called in messages. */
export interface Source {
  name: string;
  text: string;
}

/** An error at a key of the file. */
export function problem(source: Source, path: Path, what: string, hint?: string, value?: string): TcpxError {
  const line = lineOf(source.text, path);
  const key = pathText(path);
  return new TcpxError(Exit.USAGE, `${source.name}:${line}: ${key === "" ? "" : `${key}: `}${what}`, {
    place: { file: source.name, line, key },
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
