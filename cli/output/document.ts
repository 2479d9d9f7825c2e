// SPDX-License-Identifier: MIT
// JSON documents as text. Long lists in them are written while they are made: a document of 100,000 rules is never
// in memory as a whole.

/** What is made of each of these, when its turn comes; can be gone through again. Pure. */
export function each<T, U>(members: Iterable<T>, make: (member: T) => U): Iterable<U> {
  return {
    *[Symbol.iterator]() {
      for (const member of members) yield make(member);
    },
  };
}

/** 64-bit numbers as strings: JavaScript and jq would round them. */
const exact = (_: string, value: unknown) => (typeof value === "bigint" ? value.toString() : value);

export const documentText = (document: unknown): string => JSON.stringify(document, exact);

/** A list whose members are made when their turn comes. */
class LongList {
  constructor(readonly members: Iterable<unknown>) {}
}

/** A list of what is made of these. */
export const listOf = <T>(members: Iterable<T>, make: (member: T) => unknown): LongList =>
  new LongList(each(members, make));

/** Stands where a list will be; no name can be it. */
const PLACE = crypto.randomUUID();

function* listText({ members }: LongList): Generator<string> {
  yield "[";
  let separator = "";
  for (const member of members) {
    if (separator) yield separator;
    separator = ",";
    yield* partsOf(member);
  }
  yield "]";
}

function* partsOf(value: unknown): Generator<string> {
  const lists: LongList[] = [];
  const text = JSON.stringify(value, (key, part) => {
    if (!(part instanceof LongList)) return exact(key, part);
    lists.push(part);
    return PLACE;
  });
  if (lists.length === 0) return yield text;
  for (const between of text.split(`"${PLACE}"`)) {
    yield between;
    const list = lists.shift();
    if (list) yield* listText(list);
  }
}

/** The document in parts, and a line break. */
export function* documentParts(document: Record<string, unknown>): Generator<string> {
  yield* partsOf(document);
  yield "\n";
}

/** Characters that are written at once. */
const PART = 65_536;

/** Short texts, joined to longer ones: what writes them is called less often. */
export function* joined(texts: Iterable<string>): Generator<string> {
  let part = "";
  for (const text of texts) {
    part += text;
    if (part.length < PART) continue;
    yield part;
    part = "";
  }
  yield part;
}
