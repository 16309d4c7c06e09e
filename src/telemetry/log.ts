/**
 * The log: one line per event on standard error, as text or as JSON. Calls take fields, not built
 * strings; nothing on the packet path logs (core/tally.ts counts there).
 *
 * @module
 */
export type LogLevel = "debug" | "info" | "warn" | "error";
type LogFormat = "text" | "json";
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** Where lines go and which ones. */
export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Takes one line with its line feed; standard error unless a test listens. */
  readonly write?: (line: string) => void;
}

export class Log {
  readonly #options: LogOptions;
  readonly #write: (line: string) => void;
  readonly #fields: LogFields;

  /** @param fields stand in every line: at least `process` */
  constructor(options: LogOptions, fields: LogFields) {
    this.#options = options;
    this.#write = options.write ?? ((line) => void process.stderr.write(line));
    this.#fields = fields;
  }

  /** The same log with more fields in every line. */
  with(fields: LogFields): Log {
    return new Log(this.#options, { ...this.#fields, ...fields });
  }

  debug(message: string, fields?: LogFields): void {
    this.#line("debug", message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.#line("info", message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.#line("warn", message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.#line("error", message, fields);
  }

  #line(level: LogLevel, message: string, more?: LogFields): void {
    if (RANK[level] < RANK[this.#options.level]) return;
    const time = new Date().toISOString();
    const fields = { ...this.#fields, ...more };
    if (this.#options.format === "json") {
      this.#write(`${JSON.stringify({ time, level, message, ...fields })}\n`);
      return;
    }
    let line = `${time} ${level.toUpperCase().padEnd(5)} ${message}`;
    for (const [key, value] of Object.entries(fields)) {
      if (value !== undefined) line += ` ${key}=${text(value)}`;
    }
    this.#write(`${line}\n`);
  }
}

/** Quoted where a reader or a parser would lose track. */
function text(value: string | number | boolean | null): string {
  const plain = String(value);
  return /^[^\s"=]+$/.test(plain) ? plain : JSON.stringify(plain);
}
