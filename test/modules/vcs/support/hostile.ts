import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Files, git } from '../../../support/git-repos.js';

/** Names drivers for everything. */
export const attributes: Files = {
  '.gitattributes': '* filter=evil diff=evil merge=evil text ident\n*.proc filter=process\n',
};

const hooks = [
  ...[
    'applypatch-msg',
    'pre-commit',
    'pre-merge-commit',
    'prepare-commit-msg',
    'commit-msg',
    'post-commit',
    'post-checkout',
  ],
  ...['post-merge', 'post-rewrite', 'pre-auto-gc', 'post-index-change', 'reference-transaction', 'fsmonitor-watchman'],
];

/**
 * Configures a repository so that about everything that git does runs a program, which leaves a file in `proofs`. Answers what has
 * been run so far.
 */
export function makeHostile(root: string, proofs: string): () => readonly string[] {
  mkdirSync(proofs, { recursive: true });
  const leave = (name: string, then = ''): string => `sh -c 'touch "${proofs}/${name}"; ${then}' --`;
  const gitDir = path.join(root, '.git');
  mkdirSync(path.join(gitDir, 'hooks'), { recursive: true });
  mkdirSync(path.join(gitDir, 'own-hooks'));
  for (const folder of ['hooks', 'own-hooks']) {
    for (const name of hooks) {
      const file = path.join(gitDir, folder, name);
      writeFileSync(file, `#!/bin/sh\ntouch '${proofs}/hook ${name}'\n`);
      chmodSync(file, 0o755);
    }
  }
  const included = path.join(gitDir, 'included');
  const settings: readonly (readonly [key: string, value: string])[] = [
    ['core.hooksPath', path.join(gitDir, 'own-hooks')],
    ['core.fsmonitor', leave('fsmonitor')],
    ['core.sshCommand', leave('ssh')],
    ['core.gitProxy', leave('proxy')],
    ['core.askPass', leave('askpass')],
    ['core.editor', leave('editor')],
    ['sequence.editor', leave('sequence editor')],
    ['core.pager', leave('pager', 'cat')],
    ['core.alternateRefsCommand', leave('alternate refs')],
    ['core.attributesFile', path.join(gitDir, 'more-attributes')],
    ['core.excludesFile', path.join(gitDir, 'more-excludes')],
    ['credential.helper', `!${leave('credential')}`],
    ['gpg.program', leave('gpg')],
    ['commit.gpgSign', 'true'],
    ['diff.external', leave('external diff')],
    ['diff.evil.command', leave('diff driver')],
    ['diff.evil.textconv', leave('textconv', 'cat "$1"')],
    ['filter.evil.clean', leave('clean', 'cat')],
    ['filter.evil.smudge', leave('smudge', 'cat')],
    ['filter.evil.required', 'true'],
    ['filter.process.process', leave('process')],
    ['filter.process.required', 'true'],
    ['merge.evil.driver', leave('merge')],
    ['interactive.diffFilter', leave('diff filter')],
    ['uploadpack.packObjectsHook', leave('pack objects')],
    ['remote.origin.url', `ext::${leave('remote')}`],
    ['remote.origin.promisor', 'true'],
    ['extensions.partialClone', 'origin'],
    ['extensions.worktreeConfig', 'true'],
    ['protocol.ext.allow', 'always'],
    ['submodule.sub.url', `ext::${leave('submodule')}`],
    ['submodule.sub.update', `!${leave('submodule update')}`],
    ['submodule.recurse', 'true'],
    ['status.submoduleSummary', 'true'],
    ['diff.submodule', 'log'],
    ['include.path', included],
    ['maintenance.auto', 'true'],
    ['gc.auto', '1'],
    ['gc.recentObjectsHook', leave('recent objects')],
    ['core.repositoryFormatVersion', '1'],
    ...['status', 'commit', 'read-tree', 'update-ref', 'update-index', 'diff-tree', 'diff-index', 'rev-parse'].map(
      (name) => [`alias.${name}`, `!${leave(`alias ${name}`)}`] as const,
    ),
  ];
  git(root, 'config', '--file', included, 'filter.evil.clean', leave('included clean', 'cat'));
  writeFileSync(path.join(gitDir, 'more-attributes'), '* filter=evil\n');
  writeFileSync(path.join(gitDir, 'config.worktree'), `[core]\n\tfsmonitor = touch '${proofs}/worktree config'\n`);
  for (const [key, value] of settings) git(root, 'config', '--file', path.join(gitDir, 'config'), key, value);
  return () => readdirSync(proofs).sort();
}

/** A repository in a folder whose own configuration runs a program whenever its status is asked for. */
export function makeHostileNested(folder: string, proofs: string): void {
  if (!existsSync(folder)) mkdirSync(folder);
  git(folder, 'init', '--quiet');
  writeFileSync(path.join(folder, '.gitattributes'), '* filter=evil\n');
  writeFileSync(path.join(folder, 'file'), 'x\n');
  git(folder, 'add', '.');
  git(folder, 'commit', '--quiet', '--message=Nested');
  git(folder, 'config', 'core.fsmonitor', `touch '${proofs}/nested fsmonitor'; false`);
  git(folder, 'config', 'filter.evil.clean', `sh -c 'touch "${proofs}/nested clean"; cat'`);
  writeFileSync(path.join(folder, 'file'), 'changed\n');
}
