/** Command-line arguments, with errors that name the option. */
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { Fault } from "../core/fault.ts";

/** What `parseArgs` gives for a set of options without positionals. */
type Values<O extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseArgs<{ options: O; strict: true; allowPositionals: false }>
>["values"];

/** @throws Fault `request_invalid` */
export function readArguments<const O extends ParseArgsOptionsConfig>(
  argv: string[],
  options: O,
): Values<O> {
  try {
    return parseArgs({ args: argv, options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Fault("request_invalid", message, { cause: error });
  }
}

/** @throws Fault `request_invalid` unless the text is a whole number within the bounds */
export function wholeNumber(option: string, text: string, min: number, max: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw wrongValue(option, `a whole number from ${min} to ${max}`, text);
}

/** What to say of a value: which option, what it takes, what it was given. */
export function wrongValue(option: string, allowed: string, value: string): Fault {
  return new Fault("request_invalid", `--${option} takes ${allowed}, not "${value}".`);
}
