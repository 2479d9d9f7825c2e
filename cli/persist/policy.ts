// SPDX-License-Identifier: MIT
// The rules in force as the text of a policy: what `tcpx export` prints, asked of another process of tcpx.

import { Exit, TcpxError } from "../base/errors.ts";
import { self } from "../system/self.ts";

/** @throws TcpxError with the reason of `tcpx export` */
export async function presentPolicy(): Promise<{ text: string; notices: string[] }> {
  const child = Bun.spawn([...self(), "export"], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [text, said, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  const lines = said.split("\n").filter(Boolean);
  const notices = lines.map((line) => line.replace(/^tcpx: (?:warning: )?/, ""));
  if (code === 0) return { text, notices };
  throw new TcpxError(Exit.FAILED, notices.at(-1) ?? `tcpx export ended with ${code}`);
}
