/** Cameras that were added by the API, and which cameras a person has stopped. SQLite. */
import { Database } from "bun:sqlite";

/** One step per released change; a database remembers by `user_version` how far it is. */
const MIGRATIONS = [
  `CREATE TABLE camera (id TEXT PRIMARY KEY, config TEXT NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE stopped (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;`,
] as const;

export interface StoredCamera {
  readonly id: string;
  /** JSON as the schema takes it, credentials included. */
  readonly config: string;
}

export class CameraStore implements Disposable {
  readonly #db: Database;

  /** @param path of the database file, or `:memory:` */
  constructor(path: string) {
    this.#db = new Database(path, { create: true, strict: true });
    this.#db.run("PRAGMA journal_mode = WAL");
    this.#db.transaction(() => this.#migrate()).exclusive();
  }

  #migrate(): void {
    const row = this.#db.query<{ user_version: number }, []>("PRAGMA user_version").get();
    for (const [i, migration] of MIGRATIONS.entries()) {
      if (i >= (row?.user_version ?? 0)) this.#db.run(migration);
    }
    this.#db.run(`PRAGMA user_version = ${MIGRATIONS.length}`);
  }

  cameras(): StoredCamera[] {
    return this.#db.query<StoredCamera, []>("SELECT id, config FROM camera ORDER BY id").all();
  }
  put(camera: StoredCamera): void {
    const { id, config } = camera;
    this.#db.query("INSERT OR REPLACE INTO camera (id, config) VALUES (?, ?)").run(id, config);
  }
  remove(id: string): void {
    this.#db.query("DELETE FROM camera WHERE id = ?").run(id);
    this.#db.query("DELETE FROM stopped WHERE id = ?").run(id);
  }

  /** Cameras that a person has stopped. */
  stopped(): Set<string> {
    const rows = this.#db.query<{ id: string }, []>("SELECT id FROM stopped").all();
    return new Set(rows.map(({ id }) => id));
  }
  setStopped(id: string, stopped: boolean): void {
    const sql = stopped
      ? "INSERT OR IGNORE INTO stopped (id) VALUES (?)"
      : "DELETE FROM stopped WHERE id = ?";
    this.#db.query(sql).run(id);
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}
