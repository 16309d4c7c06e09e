export async function bench(_argv: string[]): Promise<number> {
  return 1;
}
