import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Fault } from "../core/fault.ts";
import { parseTopic, topicCamera, topicText } from "./topic.ts";

describe("topic", () => {
  const good = [
    { text: "lobby/shm", camera: "lobby", width: 640, canonical: "lobby/shm" },
    { text: "lobby/shm?width=640", camera: "lobby", width: 640, canonical: "lobby/shm" },
    {
      text: "A-1_b/shm?width=1280",
      camera: "A-1_b",
      width: 1280,
      canonical: "A-1_b/shm?width=1280",
    },
    { text: "0/shm?width=16", camera: "0", width: 16, canonical: "0/shm?width=16" },
  ];
  test.each(good)("$text", ({ text, camera, width, canonical }) => {
    const topic = parseTopic(text);
    expect(topic).toEqual({ camera, format: { kind: "shm", width } });
    expect(topicText(topic)).toBe(canonical);
    expect(topicCamera(text)).toBe(camera);
  });

  const bad = [
    { text: "", says: "<camera>/<format>" },
    { text: "lobby", says: "<camera>/<format>" },
    { text: "lobby/", says: "format offered" },
    { text: "/shm", says: "camera's name" },
    { text: "lobby/shm/x", says: "<camera>/<format>" },
    { text: "../shm", says: "camera's name" },
    { text: "lob by/shm", says: "camera's name" },
    { text: `${"x".repeat(64)}/shm`, says: "camera's name" },
    { text: "lobby/SHM", says: "format offered" },
    { text: "lobby/jpeg", says: "format offered is shm" },
    { text: "lobby/shm?", says: "name=value" },
    { text: "lobby/shm?width", says: "name=value" },
    { text: "lobby/shm?width=1=2", says: "name=value" },
    { text: "lobby/shm?fps=5", says: "no parameter fps" },
    { text: "lobby/shm?width=320&width=320", says: "twice" },
    { text: "lobby/shm?width=", says: "width is" },
    { text: "lobby/shm?width=15", says: "16 to 8192" },
    { text: "lobby/shm?width=8193", says: "16 to 8192" },
    { text: "lobby/shm?width=0640", says: "width is" },
    { text: "lobby/shm?width=+640", says: "width is" },
    { text: "lobby/shm?width=640.0", says: "width is" },
    { text: "lobby/shm?width=1e3", says: "width is" },
    { text: "lobby/shm\0", says: "format offered" },
  ];
  test.each(bad)("refused: $text", ({ text, says }) => {
    expect(() => parseTopic(text)).toThrow(Fault);
    expect(() => parseTopic(text)).toThrow(says);
  });

  test("a topic without a camera's name", () => {
    expect([topicCamera(""), topicCamera("/shm"), topicCamera("a b/shm")]).toEqual([
      null,
      null,
      null,
    ]);
  });

  test("any text: a topic that spells itself again, or a Fault", () => {
    const text = fc.oneof(
      fc.string(),
      fc.stringMatching(/^[a-z/?=&0-9]{0,30}$/),
      fc.integer({ min: 0, max: 9_000 }).map((width) => `lobby/shm?width=${width}`),
    );
    fc.assert(
      fc.property(text, (text) => {
        try {
          const topic = parseTopic(text);
          expect(parseTopic(topicText(topic))).toEqual(topic);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(Fault);
        }
      }),
    );
  });
});
