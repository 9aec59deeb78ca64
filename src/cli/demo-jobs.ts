import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const demoKind = 'demo.checksum';

/** One job of the demo, and how it is bound to end. */
export interface DemoJob {
  /** As shown. */
  readonly label: string;
  readonly payload: { readonly file: string; readonly mood?: 'unsteady' | 'endless' };
  readonly ends: 'done' | 'error' | 'canceled';
  readonly attempts: number;
}

const plain = 32;
const unsteady = 4;

/** Checksums of files of this package: most just work, some only at the second attempt, one never, one is canceled. */
export function demoJobs(): readonly DemoJob[] {
  const { root, files } = filesOfPackage();
  const chosen = everyNth(files, plain + unsteady);
  const labelled = chosen.map((file) => ({ file, label: path.relative(root, file) }));
  const [longest = { file: '', label: '' }] = labelled;
  return [
    { label: longest.label, payload: { file: longest.file, mood: 'endless' }, ends: 'canceled', attempts: 1 },
    { label: 'no/such/file', payload: { file: path.join(root, 'no/such/file') }, ends: 'error', attempts: 1 },
    ...labelled
      .slice(0, unsteady)
      .map(({ file, label }): DemoJob => ({ label, payload: { file, mood: 'unsteady' }, ends: 'done', attempts: 2 })),
    ...labelled
      .slice(unsteady)
      .map(({ file, label }): DemoJob => ({ label, payload: { file }, ends: 'done', attempts: 1 })),
  ];
}

/** The sources in a checkout; in an installed package, which has none, what was compiled of them. */
function filesOfPackage(): { readonly root: string; readonly files: readonly string[] } {
  const compiled = fileURLToPath(new URL('..', import.meta.url));
  const sources = path.resolve(compiled, '..', '..', 'src');
  const folder = existsSync(sources) ? sources : compiled;
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(?:ts|js)$/.test(entry.name) && !entry.name.endsWith('.d.ts'))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
  return { root: path.dirname(folder), files };
}

function everyNth(files: readonly string[], count: number): readonly string[] {
  const step = Math.max(1, Math.floor(files.length / count));
  return files.filter((_, index) => index % step === 0).slice(0, count);
}
