// SPDX-License-Identifier: MIT
// One way for the build scripts to start a program.

/** Runs a program to its end and returns its stdout; throws with all of its output when it fails. */
export async function run(
  argv: string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<string> {
  const found = Bun.which(argv[0]!);
  if (!found) throw new Error(`${argv[0]} is not installed`);
  const child = Bun.spawn([found, ...argv.slice(1)], {
    ...(options.cwd ? { cwd: options.cwd } : {}),
    env: { ...process.env, LC_ALL: "C", ...options.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${argv.join(" ")} failed (${code}):\n${err}${out}`.trimEnd());
  return out;
}

/** Runs the tasks, a few at a time; the first failure ends it. */
export async function parallel(tasks: (() => Promise<unknown>)[], jobs: number): Promise<void> {
  let next = 0;
  let failed = false;
  const worker = async () => {
    while (next < tasks.length && !failed) {
      await tasks[next++]!().catch((error) => {
        failed = true;
        throw error;
      });
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
}
