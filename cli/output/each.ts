// SPDX-License-Identifier: MIT

/** What is made of each of these, when its turn comes; can be gone through again. Pure. */
export function each<T, U>(members: Iterable<T>, make: (member: T) => U): Iterable<U> {
  return {
    *[Symbol.iterator]() {
      for (const member of members) yield make(member);
    },
  };
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
