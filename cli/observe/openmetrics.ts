// SPDX-License-Identifier: MIT
// Text of OpenMetrics 1.0: https://prometheus.io/docs/specs/om/open_metrics_spec/

import { visible } from "../output/safe.ts";

export const CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8";

export interface Sample {
  labels: Record<string, string>;
  value: number;
}

/** Samples of one meaning. */
export interface Family {
  /** Without the suffix of its type; ends with the unit, when there is one. */
  name: string;
  type: "counter" | "gauge" | "info";
  unit?: string;
  help: string;
  samples: Sample[];
}

const SUFFIX = { counter: "_total", gauge: "", info: "_info" } as const;

const ESCAPES: Record<string, string> = { "\\": "\\\\", '"': '\\"', "\n": "\\n" };

/** Readers print labels on terminals and pages; line breaks have an escape of the format's own. */
function escaped(text: string): string {
  const safe = text.split("\n").map(visible).join("\n");
  return safe.replace(/[\\"\n]/g, (c) => ESCAPES[c]!);
}

function labelText(labels: Record<string, string>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

/** Two samples with the same labels would make the whole text invalid: they are added up. */
function byLabels(samples: readonly Sample[]): Map<string, number> {
  const values = new Map<string, number>();
  for (const { labels, value } of samples) {
    const text = labelText(labels);
    values.set(text, (values.get(text) ?? 0) + value);
  }
  return values;
}

function familyLines({ name, type, unit, help, samples }: Family): string[] {
  return [
    `# TYPE ${name} ${type}`,
    ...(unit ? [`# UNIT ${name} ${unit}`] : []),
    `# HELP ${name} ${escaped(help)}`,
    ...[...byLabels(samples)].map(([labels, value]) => `${name}${SUFFIX[type]}${labels} ${value}`),
  ];
}

/** The exposition; families without samples are left out. */
export function openMetrics(families: readonly Family[]): string {
  const lines = families.filter(({ samples }) => samples.length > 0).flatMap(familyLines);
  return [...lines, "# EOF", ""].join("\n");
}

export function familiesJson(families: readonly Family[]): Record<string, unknown>[] {
  return families.map(({ samples, ...family }) => ({
    ...family,
    samples: samples.map(({ labels, value }) => ({ labels, reading: value })),
  }));
}
