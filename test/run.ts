export async function test(_argv: string[]): Promise<number> { return 1; }
