import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { inject } from 'vitest';

/**
 * Puts the cluster of an earlier run into a data directory, for what is not about the first: to make one takes a second or more, most
 * of it waiting for the disk.
 */
export function layCluster(dataDir: string): void {
  execFileSync('cp', ['-a', inject('cluster'), path.join(dataDir, 'postgres')]);
}
