// SPDX-License-Identifier: MIT
// What a guest says about a feature: a line on its console, read back by the host.

export const OUTCOMES = ["works", "degrades", "unsupported", "FAILED"] as const;
export type Outcome = (typeof OUTCOMES)[number];

export interface Finding {
  feature: string;
  outcome: Outcome;
  detail: string;
}

/** What a feature's own code finds out; its failures are exceptions. */
export type Result = Omit<Finding, "feature">;

export const works = (detail: string): Result => ({ outcome: "works", detail });
export const degrades = (detail: string): Result => ({ outcome: "degrades", detail });

const LINE = new RegExp(`^VM: ([^:]+): (${OUTCOMES.join("|")}) ?(.*)$`, "gm");

export function formatFinding({ feature, outcome, detail }: Finding): string {
  return `VM: ${feature}: ${outcome} ${detail.replace(/\s+/g, " ").trim()}`.trim();
}

export function parseFindings(text: string): Finding[] {
  return [...text.matchAll(LINE)].map(([, feature, outcome, detail]) => ({
    feature: feature!,
    outcome: outcome as Outcome,
    detail: detail!,
  }));
}

/** Rows are features, columns kernels; a kernel without findings has dashes. */
export function matrix(columns: { title: string; findings: Finding[] }[]): string {
  const features = [...new Set(columns.flatMap(({ findings }) => findings.map(({ feature }) => feature)))];
  const rows = features.map((feature) => [
    feature,
    ...columns.map(({ findings }) => findings.find((f) => f.feature === feature)?.outcome ?? "-"),
  ]);
  const table = [["", ...columns.map(({ title }) => title)], ...rows];
  const widths = table[0]!.map((_, i) => Math.max(...table.map((row) => row[i]!.length)));
  return table
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]! + 2))
        .join("")
        .trimEnd(),
    )
    .join("\n");
}
