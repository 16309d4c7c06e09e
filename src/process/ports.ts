/** Ports and addresses of this machine. */
import { networkInterfaces } from "node:os";

/** A port that is free on loopback now. Another program may take it; then the bind says so. */
export function freePort(protocol: "tcp" | "udp"): Promise<number> {
  return tryPort(protocol, 0);
}

/** Whether this port on loopback can be had now. */
export async function isFree(protocol: "tcp" | "udp", port: number): Promise<boolean> {
  try {
    await tryPort(protocol, port);
    return true;
  } catch {
    return false;
  }
}

/** Takes the port and gives it back. Rejects when it is taken. */
async function tryPort(protocol: "tcp" | "udp", wanted: number): Promise<number> {
  if (protocol === "udp") {
    const socket = await Bun.udpSocket({ hostname: "127.0.0.1", port: wanted });
    const { port } = socket;
    socket.close();
    return port;
  }
  const server = Bun.listen({ hostname: "127.0.0.1", port: wanted, socket: { data: () => {} } });
  const { port } = server;
  server.stop(true);
  return port;
}

/**
 * The addresses that browsers are told to send to: the configured ones; else loopback for a hub on
 * loopback; else those of every network card, without link-local ones.
 */
export function announcedAddresses(configured: readonly string[], http: string): readonly string[] {
  if (configured.length > 0) return configured;
  if (http.startsWith("127.") || http === "::1") return ["127.0.0.1"];
  const cards = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return cards
    .filter(({ family, address }) => family === "IPv4" || !address.startsWith("fe80:"))
    .map(({ address }) => address);
}
