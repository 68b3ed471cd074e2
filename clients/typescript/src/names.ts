/** The names of the contract's enums, in place of their numbers. */

import { Internal } from "./errors.js";

type Enum = Readonly<Record<string, number>>;

/** The names of a generated enum, but for the one that says that there is none. */
export type NameOf<E extends Enum> = Exclude<keyof E & string, "UNSPECIFIED">;

/**
 * The name of a number; undefined for 0, which says that there is none.
 *
 * @throws Internal: the gateway knows names that this client does not.
 */
export function nameOf<E extends Enum>(names: E, number: number): NameOf<E> | undefined {
  if (number === 0) return undefined;
  for (const name in names) {
    if (names[name] === number) return name as unknown as NameOf<E>;
  }
  throw new Internal({
    code: "INTERNAL",
    message: `the gateway sent ${number} for one of ${Object.keys(names).join(", ")}: this client is too old`,
  });
}

/** As nameOf(), where there must be one. */
export function givenNameOf<E extends Enum>(names: E, number: number): NameOf<E> {
  const name = nameOf(names, number);
  if (name === undefined) {
    const message = `the gateway sent none of ${Object.keys(names).join(", ")}`;
    throw new Internal({ code: "INTERNAL", message });
  }
  return name;
}
