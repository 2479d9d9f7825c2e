#!/usr/bin/env bun
// SPDX-License-Identifier: MIT
// `bun run bench`: prints tables, asserts nothing. Needs root and a built dist/tcpx.

import { table } from "../../cli/output/table.ts";
import { ackLabRows } from "./ack-lab.ts";
import { growthRows } from "./agent-growth.ts";
import { commandRows } from "./commands.ts";
import { connectionRows } from "./connections.ts";
import { listRows } from "./connections-list.ts";
import { addingRows, extensionCostRows } from "./extensions.ts";
import { instructionRows } from "./instructions.ts";
import { mergingRows } from "./merging.ts";
import { policyConnectionRows, policyRows } from "./policy.ts";
import { programRows } from "./programs.ts";
import { showRows } from "./show.ts";
import { watchRows } from "./watch.ts";

const only = process.argv[2];
if (only === undefined || only === "commands") {
  console.log("Wall time of commands, ms: median and quartiles of 20 runs, in turn\n");
  console.log(table(["COMMAND", "MEDIAN", "QUARTILES", "RATIO TO version", "GOAL"], commandRows(), [1]));
}
const HEAD = ["RULES", "CONN/S", "RATIO", "CPU us/CONN", "MEAN RATIO, 95 %"];
const LOOPS = ["bare sockets", "nginx, ab"] as const;
if (only === undefined || only === "connections") {
  console.log("\nConnect, request, response, close over loopback: in turn, against no tcpx, both ends\n");
  const rows = [await connectionRows(), await programRows()];
  const named = LOOPS.flatMap((loop, i) => rows[i]!.map((cells) => [loop, ...cells]));
  console.log(table(["LOOP", ...HEAD], named, [2, 4]));
}
if (only === undefined || only === "merging") {
  console.log("\nBytes under one TCP header at the receiver, over veth: medians of 5 runs, in turn\n");
  const head = ["LOAD", "MERGED BY", "OPTIONS", "BYTES", "RANGE", "RATIO", "MERGED, WITH OPTIONS"];
  console.log(table(head, await mergingRows(), [3]));
}
if (only === undefined || only === "connections-list") {
  console.log(
    "\nWall time of `tcpx connections`, ms: median and range of 7 runs (goal: under 2000), MB printed\n",
  );
  console.log(table(["CASE", "MEDIAN", "RANGE", "MB"], await listRows(), [1, 3]));
}
if (only === undefined || only === "watch") {
  console.log(
    "\nThe same loop with a watcher, its output to /dev/null, in turn with nobody watching (goal: 3 %)\n",
  );
  const loop = ["CASE", "CONN/S NO WATCH", "WATCHED", "RATIO", "MEAN, 95 %", "CPU PER CONN, MEAN RATIO"];
  const head = [...loop, "EVENTS/CONN", "LOST", "us/EVENT", "WATCHER"];
  console.log(table(head, await watchRows(), [1, 2, 6, 7, 8, 9]));
}
if (only === undefined || only === "policy") {
  console.log("\nA policy of 100,000 rules: 5 runs each, in turn (goals: 2000 ms, 300 MB)\n");
  console.log(table(["CASE", "MS", "WORST", "MB", "WORST"], await policyRows(), [1, 2, 3, 4]));
  console.log("\nThe loop above with that policy, against one of ten rules (goal: a ratio of 0.98)\n");
  console.log(table(HEAD, await policyConnectionRows(), [1, 3]));
}
if (only === undefined || only === "show") {
  console.log(
    "\n100,000 rules shown, against 10,000: 5 runs each, in turn (goals: 2000 ms, 300 MB, ratios of 10)\n",
  );
  console.log(
    table(["CASE", "MS", "WORST", "RATIO", "MB", "WORST", "RATIO"], await showRows(), [1, 2, 3, 4, 5, 6]),
  );
}
// minutes of QEMU: only when it is asked for
if (only === "instructions") {
  console.log("\nThese loops in QEMU, where the clock counts instructions: 500 of them are a microsecond\n");
  const head = ["LOOP", "RULES", "us/CONN", "RANGE", "RATIO"];
  console.log(table(head, await instructionRows(LOOPS), [2, 4]));
}
if (only === "extensions") {
  console.log("\nWall time of adding an extension, ms: median and quartiles of 20 runs, in turn\n");
  console.log(table(["COMMAND", "MEDIAN", "QUARTILES", "RATIO TO version", "GOAL"], await addingRows(), [1]));
  console.log("\nBare sockets in QEMU, where the clock counts instructions (goals: 1.005 and 1.0000)\n");
  const head = ["RULES", "us/CONN", "RANGE", "TO NO TCPX", "RATIO", "TO"];
  console.log(table(head, await extensionCostRows(), [1, 3, 4]));
}
if (only === "growth") {
  console.log(
    "\nThe ACK agent when its work grows; waits of new connections: median (most), and never served\n",
  );
  const head = ["CASE", "NETNS", "FDS", "THREADS", "GUARDS", "MB RESIDENT", "OWN", "WAIT, ms", "NEVER"];
  const rows: string[][] = [];
  await growthRows(process.argv.slice(3), (row) => {
    console.error(row.join("  "));
    rows.push(row);
  });
  console.log(table(head, rows, [1, 2, 3, 4, 5, 6, 7, 8]));
}
if (only === "ack") {
  console.log("\nBulk with loss in QEMU, 50 ms, 20 Mbit/s: medians (least..most) over the seeds\n");
  const head = ["LOSS", "CASE", "MBIT/S", "SEGS/ACK", "REXMIT", "PROBES", "RTOS", "DSACKS", "RUNS"];
  console.log(table(head, await ackLabRows()));
}
