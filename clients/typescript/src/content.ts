/** Payloads and results: values to bytes, and back. */

import { InvalidRequest, ResultMismatch } from "./errors.js";

const JSON_TYPE = "application/json";
const BINARY_TYPE = "application/octet-stream";

/** Bytes, and their media type ("" means application/json). */
export interface Content {
  readonly data: Uint8Array;
  readonly contentType: string;
}

/**
 * The content of a payload: bytes as they are, anything else as JSON; undefined is null.
 *
 * @param contentType - of bytes; undefined is application/octet-stream.
 * @param field - that a violation names.
 * @throws InvalidRequest: the payload cannot be written as JSON.
 */
export function encode(payload: unknown, contentType?: string, field = "job.payload"): Content {
  if (payload instanceof Uint8Array) {
    return { data: payload, contentType: contentType ?? BINARY_TYPE };
  }
  if (contentType !== undefined && !isJson(contentType)) {
    throw refused(field, `only bytes can be ${contentType}`);
  }
  return { data: Buffer.from(jsonOf(payload, field)), contentType: contentType ?? JSON_TYPE };
}

/**
 * The value, if it is JSON, else the bytes.
 *
 * @throws ResultMismatch: it is labelled JSON, and is none.
 */
export function decode(content: Content): unknown {
  if (!isJson(content.contentType)) return content.data;
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content.data));
  } catch (error) {
    throw new ResultMismatch(`it is labelled JSON, and is none: ${textOf(error)}`, {
      cause: error,
    });
  }
}

/** As decode(), for showing: what is labelled JSON and is none is bytes. */
export function shown(content: Content | undefined): unknown {
  if (content === undefined) return undefined;
  try {
    return decode(content);
  } catch {
    return content.data;
  }
}

function isJson(contentType: string): boolean {
  const type = contentType.split(";", 1)[0]?.trim().toLowerCase();
  return type === "" || type === JSON_TYPE;
}

function jsonOf(payload: unknown, field: string): string {
  let text: unknown; // Of functions and symbols it makes none, whatever its type says.
  try {
    text = JSON.stringify(payload ?? null, finite);
  } catch (error) {
    throw refused(field, `it cannot be written as JSON: ${textOf(error)}`);
  }
  if (typeof text !== "string") {
    throw refused(field, `a ${typeof payload} cannot be written as JSON`);
  }
  return text;
}

/** JSON.stringify would make null of them, unseen. */
function finite(key: string, value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new RangeError(`${key || "it"} is ${value}`);
  }
  return value;
}

function refused(field: string, description: string): InvalidRequest {
  return InvalidRequest.because({ field, description });
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
