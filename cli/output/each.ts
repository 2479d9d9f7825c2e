// SPDX-License-Identifier: MIT

/** What is made of each of these, when its turn comes; can be gone through again. Pure. */
export function each<T, U>(members: Iterable<T>, make: (member: T) => U): Iterable<U> {
  return {
    *[Symbol.iterator]() {
      for (const member of members) yield make(member);
    },
  };
}
