// SPDX-License-Identifier: MIT
// A package from elsewhere: bounded in bytes, in time and in how often it is sent on. Who it is from is not judged
// here: a sum or a signature does that.

import { Exit, TcpxError, usageError } from "../base/errors.ts";
import { version } from "../base/version.ts";
import { MOST, MOST_TEXT } from "./package.ts";

const MOST_HOPS = 5;
const PATIENCE_MS = 30_000;

export const isUrl = (text: string): boolean => /^[a-z][a-z0-9+.-]*:\/\//i.test(text);

/**
 * Is this a way that we fetch by?
 * @param plain http will do, since a sum is known
 * @throws TcpxError (usage)
 */
export function requireFetchable(text: string, plain: boolean): URL {
  const url = URL.parse(text);
  if (!url) throw usageError(`${text} is no URL`, text, "accepted is https://HOST/PATH");
  if (url.username !== "" || url.password !== "")
    throw usageError(
      "a password in a URL is seen by everybody who lists processes",
      url.origin,
      "leave it out",
    );
  if (url.protocol === "https:" || (url.protocol === "http:" && plain)) return url;
  const hint = url.protocol === "http:" ? "https://, or http:// with --sha256" : "https://";
  throw usageError(`${text} is not fetched`, text, `accepted is ${hint}`);
}

const failed = (url: URL, what: string, cause?: unknown) =>
  new TcpxError(Exit.FAILED, `${url.href} ${what}`, { value: url.href, cause });

async function get(url: URL, signal: AbortSignal): Promise<Response> {
  const headers = { "user-agent": `tcpx/${version}`, "accept-encoding": "identity" };
  try {
    return await fetch(url, { redirect: "manual", signal, headers, decompress: false });
  } catch (error) {
    throw failed(url, `cannot be fetched: ${reason(error)}`, error);
  }
}

function reason(error: unknown): string {
  const { name, message, code } = error as Error & { code?: string };
  return name === "TimeoutError" ? `it takes more than ${PATIENCE_MS / 1000} s` : (code ?? message);
}

async function body(url: URL, response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  const tooLong = () => usageError(`${url.href} is too long`, url.href, `accepted is up to ${MOST_TEXT}`);
  if (Number(response.headers.get("content-length") ?? 0) > MOST.all) throw tooLong();
  try {
    for await (const chunk of response.body ?? []) {
      total += chunk.length;
      if (total > MOST.all) throw tooLong();
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof TcpxError ? error : failed(url, `cannot be fetched: ${reason(error)}`, error);
  }
  return new Uint8Array(Buffer.concat(chunks, total));
}

/**
 * The bytes behind a URL.
 * @param plain by http, too: the sum of what comes is known
 * @throws TcpxError (usage) for another way, or more bytes than a package has; (failed) when it cannot be fetched
 */
export async function download(text: string, plain: boolean, patienceMs = PATIENCE_MS): Promise<Uint8Array> {
  const signal = AbortSignal.timeout(patienceMs);
  let url = requireFetchable(text, plain);
  for (let hops = 0; hops <= MOST_HOPS; hops++) {
    const response = await get(url, signal);
    const next = response.headers.get("location");
    if (response.status >= 300 && response.status < 400 && next !== null) {
      await response.body?.cancel();
      url = requireFetchable(URL.parse(next, url.href)?.href ?? next, plain);
      continue;
    }
    if (response.status === 200) return body(url, response);
    await response.body?.cancel();
    throw failed(url, `answers ${response.status}`);
  }
  throw failed(url, `is where it was sent after ${MOST_HOPS} others: too often`);
}
