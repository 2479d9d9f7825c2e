// SPDX-License-Identifier: MIT
// docs/extend.md, gone through word by word: in an empty folder, with the executable and clang, by somebody who has nothing
// else of tcpx. The host's root is a cgroup of the lab's, as a container sees it.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { DocSession, says, stepsOf } from "../support/doc-session.ts";
import { Lab } from "../support/lab.ts";
import { OWN_ETC } from "../support/packed.ts";
import { PrivateHost } from "../support/private-host.ts";
import { enter } from "../support/process.ts";
import {
  captureRequirement,
  describeIf,
  every,
  hasTool,
  labRequirement,
  testIf,
} from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";
import { container } from "../support/views.ts";

const PAGE = resolve(import.meta.dir, "../../docs/extend.md");
const needs = every("all", labRequirement, captureRequirement, hasTool("clang"), hasTool("bash"));
const minisign = hasTool("minisign");
/** Whose folder it is, as sudo tells it. */
const USER = 1000;
/** What a page of documentation may take of its reader's time, as far as it is the machine's. */
const PATIENCE_MS = 60_000;

describeIf(needs.ok, needs.reason)("docs/extend.md", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await Lab.create();
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  /** Who reads it sits in an empty folder. @param name of that */
  async function reader(name: string): Promise<{ session: DocSession; host: PrivateHost }> {
    const host = await PrivateHost.create(lab, { setup: OWN_ETC });
    const netns = await lab.netns(name);
    const [bin, folder] = [join(lab.dir, `${name}-bin`), join(lab.dir, name)];
    for (const dir of [bin, folder]) mkdirSync(dir);
    chownSync(folder, USER, USER);
    symlinkSync(resolve(tcpxPath()), join(bin, "tcpx"));
    writeFileSync(join(bin, "sudo"), `#!/bin/sh\nexec "$@"\n`, { mode: 0o755 });
    const sudo = ["env", `SUDO_UID=${USER}`]; // the reader is root already
    const wrap = [...enter(host.wrap, { netns }), ...container(lab.cgroup(name)), ...sudo];
    return { host, session: new DocSession(wrap, folder, `${bin}:${process.env.PATH}`) };
  }

  /** Takes the steps below a heading, to the next one of its kind. */
  async function walk(session: DocSession, heading: string): Promise<void> {
    const steps = stepsOf(readFileSync(PAGE, "utf8"), heading);
    expect(steps.length).toBeGreaterThan(3);
    for (const { line, command, wanted } of steps) {
      const { said, code } = await session.run(command);
      const at = `docs/extend.md, line ${line}: ${command}\n`;
      if (!says(said, wanted)) expect(`${at}${said}`).toBe(`${at}${wanted.join("\n")}\n`);
      expect([at, code]).toEqual([at, 0]);
    }
  }

  test(
    "a first TCP option: its commands work as they are printed, in this order, and print what it says",
    async () => {
      const { session, host } = await reader("reader");
      await using _ = session;
      await walk(session, "## Your first TCP option in 60 lines");
      expect(await host.pins()).toEqual([]);
    },
    PATIENCE_MS,
  );

  testIf(minisign.ok, minisign.reason)("what it says of signatures is so", async () => {
    const { session } = await reader("author");
    await using _ = session;
    await session.run("tcpx ext new hello --kind option && cd hello && tcpx ext build");
    await walk(session, "### Signing");
  });
});
